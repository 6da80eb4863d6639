"""The flag for images that show none of a classifier's classes."""

from absl import flags

UNKNOWN_BELOW = flags.DEFINE_float(
    "unknown_below",
    None,
    "Familiarity, 0 to 1, below which an image counts as showing none of the classes. The default "
    "is 0.05 if the classifier states how familiar images are; about 5 % of the images of its own "
    "classes are below that. 0 accepts all images.",
    lower_bound=0,
    upper_bound=1,
)
