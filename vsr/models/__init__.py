"""Networks: the inflated U-Net, the LR-conditioned autoencoder, flow estimators."""
