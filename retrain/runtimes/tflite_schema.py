"""The tables of TFLite metadata, as far as this program reads and writes them.

The specification:
https://github.com/tensorflow/tflite-support/blob/master/tensorflow_lite_support/metadata/metadata_schema.fbs
"""

# Name of the buffer in a TFLite file that holds the metadata, and the first bytes of them.
BUFFER = "TFLITE_METADATA"
IDENTIFIER = b"M001"

# Fields of each table, in the order of the specification.
FIELDS = {
    "ModelMetadata": (
        "name",
        "description",
        "version",
        "subgraph_metadata",
        "author",
        "license",
        "associated_files",
        "min_parser_version",
    ),
    "SubGraphMetadata": (
        "name",
        "description",
        "input_tensor_metadata",
        "output_tensor_metadata",
        "associated_files",
    ),
    "TensorMetadata": (
        "name",
        "description",
        "dimension_names",
        "content",
        "process_units",
        "stats",
        "associated_files",
    ),
    "Content": ("content_properties_type", "content_properties"),
    "FeatureProperties": (),
    "ImageProperties": ("color_space", "default_size"),
    "ImageSize": ("width", "height"),
    "ProcessUnit": ("options_type", "options"),
    "NormalizationOptions": ("mean", "std"),
    "Stats": ("max", "min"),
    "AssociatedFile": ("name", "description", "type"),
}

# Values of the union ProcessUnitOptions.
NORMALIZATION_OPTIONS = 1
# Values of the union ContentProperties.
FEATURE_PROPERTIES, IMAGE_PROPERTIES = 1, 2
# A value of the enumeration ColorSpaceType.
RGB = 1
# Values of the enumeration AssociatedFileType.
DESCRIPTIONS, TENSOR_AXIS_LABELS = 1, 2

# Fields of the tables of a TFLite file itself that lead to the metadata and to the outputs:
# https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs
MODEL_FIELDS = {
    "Model": (
        "version",
        "operator_codes",
        "subgraphs",
        "description",
        "buffers",
        "metadata_buffer",
        "metadata",
        "signature_defs",
        "external_buffer_groups",
    ),
    "SubGraph": ("tensors", "inputs", "outputs"),
    "Tensor": ("shape", "type", "buffer", "name"),
    "ExternalBufferGroup": (),
    "Metadata": ("name", "buffer"),
    "Buffer": ("data", "offset", "size"),
}
