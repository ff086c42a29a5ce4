"""The table: for every operator of the standard the versions in which it was said anew, and what each changed."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

# A row: operators, then their versions, the first of them the one in which they appeared. What a version changed stands behind its number:
#   13           nothing in how a node is said
#   13t          more element types
#   11n          the attributes axis and axes may be negative
#   14+layout    new: an attribute; `+@3` an input, `+#1` an output; `?2` input 2 may be left out
#   6-is_test    gone: an attribute that does not change what is computed
#   4~axis=1     another default: before this version it was what is given here; nothing given: there was none. For a new attribute: what was meant
#   13!          said otherwise: a function in this package raises a node over the step
# A function may stand behind any other step too: one that lowers a node over it, or refuses to where the older version cannot say it.
# Operators of other domains than the default one are named with theirs, which counts its own versions.
ROWS = """
Acos Asin Atan Cos Sin Tan                          : 7 22t
Acosh Asinh Atanh Cosh Sinh                         : 9 22t
Abs Ceil Exp Floor Log Neg Reciprocal Sigmoid Sqrt Tanh : 1 6-consumed_inputs 13t
Add Div Mul Sub                                     : 1 6-consumed_inputs 7! 13t 14t
And Or Xor                                          : 1 7!
BitShift                                            : 11 28t
BitwiseAnd BitwiseNot BitwiseOr BitwiseXor          : 18
BitCast CumProd                                     : 26
Cast                                                : 1 6! 9t 13t 19+saturate 21t 23t 24+round_mode 25t 28t
CastLike                                            : 15 19+saturate 21t 23t 24+round_mode 25t
Celu                                                : 12 28t
Clip                                                : 1 6-consumed_inputs~min=,max= 11! 12t 13t
Elu HardSigmoid                                     : 1 6-consumed_inputs 22t
Equal                                               : 1 7! 11t 13t 19t
Erf                                                 : 9 13!
Gelu RegexFullMatch StringConcat StringSplit ImageDecoder AffineGrid : 20
Greater Less                                        : 1 7! 9t 13t
GreaterOrEqual LessOrEqual                          : 12 16t
HardSwish                                           : 14 22t
Identity                                            : 1 13t 14t 16t 19t 21t 23t 24t 25t
IsInf                                               : 10 20t
IsNaN                                               : 9 13t 20t
LeakyRelu                                           : 1 6-consumed_inputs 16t
Max Min                                             : 1 6-consumed_inputs 8 12t 13t
Mean Sum                                            : 1 6-consumed_inputs 8 13t
Mish                                                : 18 22t
Mod                                                 : 10 13t 28
Not                                                 : 1
PRelu                                               : 1 6-consumed_inputs 7! 9t 16t
Pow                                                 : 1 7! 12t 13t 15t
Relu                                                : 1 6-consumed_inputs 13t 14t
Round                                               : 11 22t
Selu                                                : 1 6-consumed_inputs~alpha=1.673200011253357,gamma=1.0506999492645264 22t
Shrink                                              : 9
Sign                                                : 9 13t
Softplus Softsign                                   : 1 22t
SwiGLU                                              : 28
Swish                                               : 24
ThresholdedRelu                                     : 10 22t
Where                                               : 9 16t

Hardmax LogSoftmax Softmax                          : 1 11n 13!
ArgMax ArgMin                                       : 1 11n 12+select_last_index 13t
CumSum                                              : 11 14t
Det                                                 : 11 22t
DFT                                                 : 17 20!
Einsum                                              : 12 28t
Gemm                                                : 1 6 7! 9t 11?2 13t
MatMul                                              : 1 9t 13t
MatMulInteger ConvInteger QLinearConv StringNormalizer : 10
QLinearMatMul                                       : 10 21t
ReduceL1 ReduceL2 ReduceMean ReduceProd ReduceSumSquare : 1 11n 13t 18!
ReduceLogSum ReduceLogSumExp                        : 1 11n 13t 18! 28!
ReduceMax ReduceMin                                 : 1 11n 12t 13t 18! 20t
ReduceSum                                           : 1 11n 13!
TopK                                                : 1 10! 11+largest,sorted 24t

BlackmanWindow HammingWindow HannWindow MelWeightMatrix STFT LayerNormalization SequenceMap : 17
Compress                                            : 9 11n 28t
Concat                                              : 1 4~axis=1 11n 13t
Constant                                            : 1 9t 11+sparse_value 12+value_float,value_floats,value_int,value_ints,value_string,value_strings 13t 19t 21t 23t 24t 25t
ConstantOfShape                                     : 9 20t 21t 23t 24t 25t
CenterCropPad Col2Im                                : 18
DepthToSpace                                        : 1 11+mode 13t 28
Expand                                              : 8 13t
EyeLike                                             : 9 22t
Flatten                                             : 1 9t 11n 13t 21t 23t 24t 25t
Gather                                              : 1 11 13t
GatherElements                                      : 11 13t
GatherND                                            : 11 12+batch_dims 13t
NonZero                                             : 9 13t
OneHot                                              : 9 11 28t
Pad                                                 : 1 2! 11! 13t 18+@3 19 21t 23t 24t 25t
Range                                               : 11 27+stash_type
Reshape                                             : 1 5! 13t 14+allowzero 19t 21t 23t 24t 25t
ReverseSequence                                     : 10 28t
Scatter                                             : 9 11!
ScatterElements ScatterND                           : 11 13t 16+reduction 18
Shape                                               : 1 13t 15+start,end 19t 21t 23t 24t 25t
Size                                                : 1 13t 19t 21t 23t 24t 25t
Slice                                               : 1 10! 11 13t
SpaceToDepth                                        : 1 13t 28+mode
Split                                               : 1 2! 11n 13! 18!
Squeeze Unsqueeze                                   : 1 11n 13! 21t 23t 24t 25t
TensorScatter                                       : 24
TfIdfVectorizer                                     : 9
Tile                                                : 1 6! 13t
Transpose                                           : 1 13t 21t 23t 24t 25t
Trilu                                               : 14
Unique                                              : 11 28t

Attention                                           : 23 24+@6 25+left_window_size,right_window_size
RMSNormalization RotaryEmbedding                    : 23
CausalConvWithState LinearAttention                 : 27
AveragePool                                         : 1 7+count_include_pad 10+ceil_mode 11 19+dilations 22t
BatchNormalization                                  : 1 6-consumed_inputs 7! 9! 14! 15t
Conv ConvTranspose                                  : 1 11 22t
DeformConv                                          : 19 22t
DequantizeLinear                                    : 10 13+axis 19t 21+block_size 23+output_dtype 24t 25t 28t
Dropout                                             : 1 6-consumed_inputs 7! 10! 12! 13t 22t
DynamicQuantizeLinear                               : 11
GlobalAveragePool GlobalMaxPool LpNormalization MaxRoiPool : 1 22t
GlobalLpPool                                        : 1 2! 22t
GridSample                                          : 16 20! 22t
GroupNormalization                                  : 18 21!
GRU                                                 : 1 3+linear_before_reset 7-output_sequence 14+layout 22t
InstanceNormalization                               : 1 6-consumed_inputs 22t
LRN                                                 : 1 13t
LSTM RNN                                            : 1 7-output_sequence 14+layout 22t
LpPool                                              : 1 2! 11 18+ceil_mode,dilations 22t
MaxPool                                             : 1 8+storage_order,#1 10+ceil_mode,dilations 11 12t 22t
MaxUnpool                                           : 9 11 22t
MeanVarianceNormalization                           : 9 13t
NegativeLogLikelihoodLoss                           : 12 13 22t
NonMaxSuppression                                   : 10 11
QuantizeLinear                                      : 10 13+axis 19+saturate 21+block_size,output_dtype 23+precision 24t 25t 28t
Resize                                              : 10 11! 13! 18+antialias,axes,keep_aspect_ratio_policy 19
RoiAlign                                            : 10 16+coordinate_transformation_mode~coordinate_transformation_mode=output_half_pixel 22t
SoftmaxCrossEntropyLoss                             : 12 13t
Upsample                                            : 1 7! 9! 10!

Bernoulli                                           : 15 22t
Multinomial                                         : 7 22t
RandomNormal RandomNormalLike RandomUniform RandomUniformLike : 1 22t

If                                                  : 1 11 13t 16t 19t 21t 23t 24t 25t
Loop                                                : 1 11 13t 16t 19t 21t 23t 24t 25t
Scan                                                : 8 9! 11 16t 19t 21t 23t 24t 25t
ConcatFromSequence SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength : 11
SplitToSequence                                     : 11 24t
Optional                                            : 15 28t
OptionalGetElement                                  : 15 18t 28t
OptionalHasElement                                  : 15 18?0 28t

ai.onnx.ml.ArrayFeatureExtractor ai.onnx.ml.Binarizer ai.onnx.ml.CastMap ai.onnx.ml.CategoryMapper ai.onnx.ml.DictVectorizer : 1
ai.onnx.ml.FeatureVectorizer ai.onnx.ml.Imputer ai.onnx.ml.LinearClassifier ai.onnx.ml.LinearRegressor ai.onnx.ml.Normalizer : 1
ai.onnx.ml.OneHotEncoder ai.onnx.ml.SVMClassifier ai.onnx.ml.SVMRegressor ai.onnx.ml.Scaler ai.onnx.ml.ZipMap : 1
ai.onnx.ml.LabelEncoder                             : 1 2! 4t+default_tensor,keys_tensor,values_tensor
ai.onnx.ml.TreeEnsemble                             : 5
ai.onnx.ml.TreeEnsembleClassifier                   : 1 3+base_values_as_tensor,class_weights_as_tensor,nodes_hitrates_as_tensor,nodes_values_as_tensor 5
ai.onnx.ml.TreeEnsembleRegressor                    : 1 3+base_values_as_tensor,target_weights_as_tensor,nodes_hitrates_as_tensor,nodes_values_as_tensor 5
"""

# By how much a step changes; the first three leave an old node as it is.
KINDS = ("same", "types", "wider", "dropped", "default", "rewritten")
Change = Callable[[Any], Any]


class Step(NamedTuple):
    """What one version changed.

    kind: "same"; "types", more element types; "wider", the newer form can say more; "dropped", an idle attribute is gone; "default"; "rewritten".
    added: attributes that are new; added_inputs, added_outputs, optional_inputs: positions. dropped: attributes that are gone.
    defaults: attribute -> the default before this version. may_be_negative: axes may be, from here on.
    up: raises a node from the version before; down: lowers one to it. See `rewriting`.
    """

    version: int
    kind: str
    added: tuple[str, ...] = ()
    added_inputs: tuple[int, ...] = ()
    added_outputs: tuple[int, ...] = ()
    optional_inputs: tuple[int, ...] = ()
    dropped: tuple[str, ...] = ()
    defaults: dict[str, Any] = {}  # noqa: RUF012  # never written
    may_be_negative: bool = False
    up: Change | None = None
    down: Change | None = None


def _parse(text: str) -> Step:
    """The step that is written so in a row; its functions are not looked up."""
    parts = re.fullmatch(r"(\d+)(t?)(n?)(!?)(?:\+([^~-]+))?(?:\?(\d))?(?:-([^~]+))?(?:~(.+))?", text)
    assert parts, text
    version, types, negative, rewritten, added, optional, dropped, defaults = parts.groups()
    names = (added or "").split(",") if added else []
    old = dict(pair.split("=") for pair in defaults.split(",")) if defaults else {}
    kind = (
        "rewritten" if rewritten else "default" if any(old.values()) else "dropped" if dropped else
        "wider" if added or optional or negative else "types" if types else "same"
    )  # fmt: skip
    return Step(
        int(version),
        kind,
        added=tuple(n for n in names if n[0] not in "@#"),
        added_inputs=tuple(int(n[1:]) for n in names if n[0] == "@"),
        added_outputs=tuple(int(n[1:]) for n in names if n[0] == "#"),
        optional_inputs=(int(optional),) if optional else (),
        dropped=tuple(dropped.split(",")) if dropped else (),
        defaults={name: _literal(x) for name, x in old.items()},
        may_be_negative=bool(negative),
    )


def _literal(text: str) -> int | float | str | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None


def _parse_rows() -> dict[str, tuple[Step, ...]]:
    found: dict[str, tuple[Step, ...]] = {}
    for line in filter(None, ROWS.splitlines()):
        names, _, versions = line.partition(":")
        steps = tuple(map(_parse, versions.split()))
        found.update((name, steps) for name in names.split())
    return found


BARE = _parse_rows()
