"""Ways to use vsr without a terminal: the web page of `vsr ui`, and nodes for ComfyUI."""
