"""Errors of Python and the system in one line that says what to do."""

from vsr.errors import DependencyError, DeviceError, explained_os_error


def explained(error: Exception) -> Exception:
    """Return an error of Python or the system in words that say what to do; ours do already."""
    if isinstance(error, MemoryError):
        return DeviceError(
            f"not enough memory to read or write a clip ({str(error) or 'no reason given'}): end "
            "other programs, or give a smaller --max-clip-frames; finished clips are kept"
        )
    if isinstance(error, ModuleNotFoundError):
        return DependencyError(
            f"the package {error.name} is not installed; install vsr again, with its dependencies: "
            "pip install -e . in a clone"
        )
    if isinstance(error, ImportError):
        return DependencyError(f"{error}{_library_hint(str(error))}")
    if isinstance(error, OSError):
        return explained_os_error(error)
    return error


def _library_hint(message: str) -> str:
    """Say how to get the system library that an import lacks."""
    if any(name in message for name in ("libGL", "libgthread", "libglib")):
        return (
            "; another package has installed the OpenCV that needs a display: pip install "
            "--force-reinstall --no-deps opencv-python-headless, or apt install libgl1 libglib2.0-0"
        )
    if "cannot open shared object file" in message:
        return "; install this library with the packages of your system, or install PyTorch again"
    return "; install vsr again, with its dependencies: pip install -e . in a clone"
