"""Flow-guided recurrent fusion along time, for latents and pixels."""
