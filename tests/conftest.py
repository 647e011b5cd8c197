"""Shapes are checked by the test run: every annotation of vsr is enforced while it runs."""

from jaxtyping import install_import_hook

install_import_hook("vsr", "beartype.beartype")
