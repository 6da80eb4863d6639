"""Makes room for connections among the files that the process can have open."""

# Files of Python, of the classifier, and of the processes that decode images.
_OTHER_FILES = 150


def reserve_connections(wanted: int) -> int:
    """Raises the limit of open files as far as it is needed and allowed.

    Args:
        wanted: Number of connections that should fit.

    Returns:
        Number of connections that fit, at most `wanted`.
    """
    try:
        import resource
    except ImportError:  # Windows.
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    needed = wanted + _OTHER_FILES
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, soft - _OTHER_FILES))
