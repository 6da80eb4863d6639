"""Lists the TensorFlow operations that only compute, which are all that a network needs.

A graph is a program: other operations read and write files, use the network, or call Python.
TensorFlow's own attribute `is_stateful` does not tell them apart. ReadFile, MatchingFiles and
PyFuncStateless do not have it, and Assert and While do. An operation that is on none of these lists
is refused, so that a new version of TensorFlow adds no operation unnoticed.
"""

import re
from collections.abc import Mapping

_ARITHMETIC = """
    Abs AccumulateNV2 Acos Acosh Add AddN AddV2 Angle Asin Asinh Atan Atan2 Atanh Betainc Ceil
    ClipByValue Complex ComplexAbs Conj Cos Cosh Cross Cumprod Cumsum Digamma Div DivNoNan Erf Erfc
    Erfinv Exp Expm1 FFT FFT2D Floor FloorDiv FloorMod IFFT IFFT2D IRFFT IRFFT2D Igamma Igammac Imag
    Inv InvertPermutation IsFinite IsInf IsNan Lgamma Log Log1p Maximum Minimum Mod Mul MulNoNan
    Ndtri Neg NextAfter Polygamma Pow RFFT RFFT2D Real RealDiv Reciprocal Rint Round Rsqrt Sign Sin
    Sinh Sqrt Square SquaredDifference Sub Tan TruncateDiv TruncateMod Xdivy Xlog1py Xlogy Zeta
    ApproximateEqual Equal Greater GreaterEqual Less LessEqual NotEqual
    LogicalAnd LogicalNot LogicalOr
    BitwiseAnd BitwiseOr BitwiseXor Invert LeftShift PopulationCount RightShift
"""
_REDUCTIONS = """
    All Any ArgMax ArgMin Bincount DenseBincount EuclideanNorm HistogramFixedWidth InTopK InTopKV2
    L2Loss Max Mean Min NthElement Prod SegmentMax SegmentMean SegmentMin SegmentProd SegmentSum Sum
    TopK TopKV2 UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd UnsortedSegmentSum
"""
_MATRICES = """
    BatchMatMul BatchMatMulV2 BatchMatMulV3 Cholesky Diag DiagPart Einsum MatMul MatrixBandPart
    MatrixDeterminant MatrixDiag MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2
    MatrixDiagV3 MatrixInverse MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3 MatrixSolve
    MatrixTriangularSolve
"""
_ARRAYS = """
    BatchToSpace BatchToSpaceND Bitcast BroadcastArgs BroadcastTo Bucketize Cast Concat ConcatOffset
    ConcatV2 ConjugateTranspose Const DepthToSpace DynamicPartition DynamicStitch EnsureShape
    ExpandDims Fill Gather GatherNd GatherV2 Identity IdentityN LinSpace ListDiff LowerBound
    MirrorPad OneHot OnesLike Pack Pad PadV2 ParallelConcat ParallelDynamicStitch Placeholder
    PlaceholderV2 PlaceholderWithDefault Range Rank Reshape Reverse ReverseSequence ReverseV2 Roll
    ScatterNd Select SelectV2 Shape ShapeN Size Slice SpaceToBatch SpaceToBatchND SpaceToDepth Split
    SplitV Squeeze StridedSlice TensorScatterAdd TensorScatterMax TensorScatterMin TensorScatterSub
    TensorScatterUpdate TensorStridedSliceUpdate Tile Transpose Unique UniqueV2 Unpack UnravelIndex
    UpperBound Where ZerosLike
"""
_LAYERS = """
    AvgPool AvgPool3D BatchNormWithGlobalNormalization BiasAdd BiasAddV1 Conv Conv2D
    Conv2DBackpropInput Conv2DBackpropInputV2 Conv3D Conv3DBackpropInputV2 DepthwiseConv2dNative
    Dilation2D Elu FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 FusedPadConv2D
    FusedResizeAndPadConv2D LRN LeakyRelu LogSoftmax MaxPool MaxPool3D MaxPoolV2 MaxPoolWithArgmax
    Relu Relu6 Selu Sigmoid Softmax Softplus Softsign Tanh
    CheckNumerics PreventGradient Snapshot StopGradient
    _FusedBatchNormEx _FusedConv2D _FusedDepthwiseConv2dNative _FusedMatMul
"""
_QUANTISED = """
    Dequantize FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel
    QuantizeAndDequantize QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4
    QuantizeDownAndShrinkRange QuantizeV2 QuantizedAdd QuantizedAvgPool
    QuantizedBatchNormWithGlobalNormalization QuantizedBiasAdd QuantizedConcat QuantizedConcatV2
    QuantizedConv2D QuantizedInstanceNorm QuantizedMatMul QuantizedMaxPool QuantizedMul
    QuantizedRelu QuantizedRelu6 QuantizedReluX QuantizedReshape QuantizedResizeBilinear
    RequantizationRange RequantizationRangePerChannel Requantize RequantizePerChannel
"""
_IMAGES = """
    AdjustContrast AdjustContrastv2 AdjustHue AdjustSaturation CombinedNonMaxSuppression
    CropAndResize DecodeAndCropJpeg DecodeBmp DecodeGif DecodeImage DecodeJpeg DecodePng DecodeWebP
    ExtractImagePatches ExtractJpegShape HSVToRGB ImageProjectiveTransformV2
    ImageProjectiveTransformV3 NonMaxSuppression NonMaxSuppressionV2 NonMaxSuppressionV3
    NonMaxSuppressionV4 NonMaxSuppressionV5 RGBToHSV ResizeArea ResizeBicubic ResizeBilinear
    ResizeNearestNeighbor ScaleAndTranslate
"""
_STRINGS = """
    AsString DecodeBase64 DecodePaddedRaw DecodeRaw EncodeBase64 ReduceJoin RegexFullMatch
    StaticRegexFullMatch StringFormat StringJoin StringLength StringLower StringSplit StringSplitV2
    StringStrip StringToNumber StringUpper Substr UnicodeDecode UnicodeEncode
"""
# The functions that these call are part of the graph, and are checked like the graph itself.
_CONTROL_FLOW = """
    Assert Case ControlTrigger Enter Exit FakeParam If LoopCond Merge NextIteration NoOp
    PartitionedCall RefEnter RefExit RefIdentity RefMerge RefNextIteration RefSelect RefSwitch
    StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile Switch While _SwitchN
"""
_LISTS = """
    EmptyTensorList TensorListConcat TensorListConcatV2 TensorListElementShape TensorListFromTensor
    TensorListGather TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack
    TensorListReserve TensorListResize TensorListScatter TensorListScatterV2 TensorListSetItem
    TensorListSplit TensorListStack
    TensorArrayCloseV3 TensorArrayConcatV3 TensorArrayGatherV3 TensorArrayReadV3
    TensorArrayScatterV3 TensorArraySizeV3 TensorArraySplitV3 TensorArrayV3 TensorArrayWriteV3
"""
# Variables exist in memory only.
_VARIABLES = """
    Assign AssignAdd AssignAddVariableOp AssignSub AssignSubVariableOp AssignVariableOp
    DestroyResourceOp DisableCopyOnRead IsVariableInitialized ReadVariableOp ResourceGather
    VarHandleOp VarIsInitializedOp Variable VariableShape VariableV2
"""

PURE = frozenset(
    " ".join(
        (
            *(_ARITHMETIC, _REDUCTIONS, _MATRICES, _ARRAYS, _LAYERS, _QUANTISED, _IMAGES),
            *(_STRINGS, _CONTROL_FLOW, _LISTS, _VARIABLES),
        )
    ).split()
)

_RANDOM = """
    Multinomial ParameterizedTruncatedNormal RandomCrop RandomGamma RandomGammaGrad
    RandomIndexShuffle RandomPoisson RandomPoissonV2 RandomShuffle RandomStandardNormal
    RandomUniform RandomUniformInt RngReadAndSkip RngSkip StatefulRandomBinomial
    StatefulStandardNormal StatefulStandardNormalV2 StatefulTruncatedNormal StatefulUniform
    StatefulUniformFullInt StatefulUniformInt StatelessMultinomial
    StatelessParameterizedTruncatedNormal StatelessRandomBinomial StatelessRandomGammaV2
    StatelessRandomGammaV3 StatelessRandomGetAlg StatelessRandomGetKeyCounter
    StatelessRandomGetKeyCounterAlg StatelessRandomNormal StatelessRandomNormalV2
    StatelessRandomPoisson StatelessRandomUniform StatelessRandomUniformFullInt
    StatelessRandomUniformFullIntV2 StatelessRandomUniformInt StatelessRandomUniformIntV2
    StatelessRandomUniformV2 StatelessSampleDistortedBoundingBox StatelessShuffle
    StatelessTruncatedNormal StatelessTruncatedNormalV2 TruncatedNormal
"""
# These touch nothing outside the process, but make the answers differ from call to call.
RANDOM = frozenset(_RANDOM.split())

# What `tf.saved_model.save` adds to every SavedModel, to save its variables and to restore them.
SAVING = frozenset(("MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename"))

# The first pattern that matches names what an operation does, for messages.
_KINDS: Mapping[str, re.Pattern[str]] = {
    "runs Python code": re.compile("Py(Func|thon)"),
    "uses the network": re.compile("Rpc|Remote|Send|Recv|Collective|Socket|BigQuery|Bigtable|Tpu"),
    "can read or write files": re.compile(
        "File|Save|Restore|Checkpoint|Reader|Table|ImmutableConst|Print|Summary|Record|Lmdb|Sql"
        "|Debug|Dataset|Iterator|Asset|Ckpt"
    ),
}
_OTHER = "is not known to only compute"


def describe(operation: str) -> str:
    """Returns what an operation does that a network does not need, as in "runs Python code"."""
    if operation in RANDOM:
        return "makes the results differ from call to call"
    kinds = (kind for kind, pattern in _KINDS.items() if pattern.search(operation))
    return next(kinds, _OTHER)
