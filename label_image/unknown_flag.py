"""The flag for images that show none of a classifier's classes."""

from absl import flags

UNKNOWN_BELOW = flags.DEFINE_float(
    "unknown_below",
    None,
    "Familiarity from 0 to 1 below which an image shows none of the classes. By default, 0.05 if "
    "the classifier states how familiar its images are: then 5 % of the images of its classes are "
    "below. 0 accepts all images.",
    lower_bound=0,
    upper_bound=1,
)
