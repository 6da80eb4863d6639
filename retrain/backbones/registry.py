"""The backbones that `--architecture` can name."""

from collections.abc import Callable

from retrain.backbones import efficientnet_lite0
from retrain.backbones.spec import Backbone
from retrain.errors import UserError

DEFAULT = efficientnet_lite0.NAME

# In the order in which the help lists them.
_LOADERS: dict[str, Callable[[], Backbone]] = {
    efficientnet_lite0.NAME: efficientnet_lite0.load,
}


def names() -> tuple[str, ...]:
    """Returns what `load` knows, the default first."""
    return tuple(_LOADERS)


def load(name: str) -> Backbone:
    """Returns the backbone of that name.

    Raises:
        UserError: there is none.
    """
    if name not in _LOADERS:
        raise UserError(f"--architecture={name} is not known; choose one of: {', '.join(_LOADERS)}")
    return _LOADERS[name]()
