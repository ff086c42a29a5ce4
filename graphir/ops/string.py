"""Operators on strings."""

from ..dims import unknown
from ..dtypes import BOOL, FLOAT32, INT64, STRING
from ..types import TensorType
from ._gradient import declare_none
from ._op import Flag, RuleError, T, op
from ._types import STRINGS, broadcast, dtypes

CASES = ("NONE", "LOWER", "UPPER")
CRITERIA = ("TF", "IDF", "TFIDF")


@op("StringConcat", since=20, T=STRINGS)
def string_concat(x: T, y: T) -> TensorType:
    """The strings of x with those of y behind them, broadcast."""
    return TensorType(STRING, broadcast(x.shape, y.shape))


@op("StringSplit", since=20, T=STRINGS)
def string_split(x: T, *, delimiter: str | None = None, maxsplit: int | None = None) -> tuple[TensorType, TensorType]:
    """Each string cut at the delimiter, along a new last axis, filled up with empty strings; and how many pieces each one gave.

    Without a delimiter, or with an empty one, strings are cut at runs of white space, and stripped of it. After maxsplit cuts the rest stays whole.
    """
    return TensorType(STRING, (*x.shape, unknown())), TensorType(INT64, x.shape)


@op("StringNormalizer", since=10, T=STRINGS)
def string_normalizer(
    x: T, *, case_change_action: str = "NONE", is_case_sensitive: Flag = 0, locale: str | None = None,
    stopwords: tuple[str, ...] | None = None,
) -> TensorType:  # fmt: skip
    """The strings of a [C] or [1, C] tensor without the stop words, in lower or upper case; one empty string where none is left.

    Letters change their case by Unicode's rules, whatever the locale.
    """
    if case_change_action not in CASES:
        raise RuleError(f"case_change_action is {case_change_action!r}; expected one of {', '.join(CASES)}")
    if x.rank not in (1, 2) or (x.rank == 2 and isinstance(x.shape[0], int) and x.shape[0] != 1):
        raise RuleError(f"x has shape {list(x.shape)}; expected [C] or [1, C]")
    count = x.shape[-1]
    left = 1 if count == 0 else unknown() if stopwords or not isinstance(count, int) else count
    return TensorType(STRING, (*x.shape[:-1], left))


@op("RegexFullMatch", since=20, T=STRINGS)
def regex_full_match(x: T, *, pattern: str | None = None) -> TensorType:
    """Whether each string as a whole matches a pattern, in the syntax of RE2."""
    if pattern is None:
        raise RuleError("pattern is left out; expected a regular expression in the syntax of RE2")
    return TensorType(BOOL, x.shape)


@op("TfIdfVectorizer", since=9, T=STRINGS | dtypes("int32 int64"))
def tf_idf_vectorizer(
    x: T, *, max_gram_length: int, max_skip_count: int, min_gram_length: int, mode: str, ngram_counts: tuple[int, ...],
    ngram_indexes: tuple[int, ...], pool_int64s: tuple[int, ...] | None = None, pool_strings: tuple[str, ...] | None = None,
    weights: tuple[float, ...] | None = None,
) -> TensorType:  # fmt: skip
    """How often each n-gram of a pool occurs in a [C] or [N, C] tensor: Y[..., ngram_indexes[i]] counts the i-th.

    The items of an n-gram are next to each other, or 1 to max_skip_count others lie between each two of them. The pool holds the n-grams of length 1
    from ngram_counts[0] on, those of length 2 from ngram_counts[1] on, and so forth. TFIDF counts the i-th n-gram weights[i] times, IDF no more than once.
    """
    if mode not in CRITERIA:
        raise RuleError(f"mode is {mode!r}; expected one of {', '.join(CRITERIA)}")
    if (pool_int64s is None) == (pool_strings is None):
        raise RuleError("expected one of pool_int64s and pool_strings")
    if (x.dtype == STRING) != (pool_strings is not None):
        raise RuleError(f"x is {'strings' if x.dtype == STRING else 'numbers'}, and the pool is not")
    if x.rank > 2:
        raise RuleError(f"x has shape {list(x.shape)}; expected [C] or [N, C]")
    if not ngram_indexes or min(ngram_indexes) < 0:
        raise RuleError(f"ngram_indexes is {list(ngram_indexes)[:8]}; expected places in the output, from 0 on")
    if not 1 <= min_gram_length <= max_gram_length <= len(ngram_counts) or max_skip_count < 0:
        raise RuleError(
            f"min_gram_length is {min_gram_length}, max_gram_length {max_gram_length}, max_skip_count {max_skip_count}; "
            f"expected lengths from 1 to {len(ngram_counts)}, of which ngram_counts tells, and a count of 0 or more"
        )
    if weights and len(weights) != len(ngram_indexes):
        raise RuleError(f"weights has {len(weights)} numbers; expected {len(ngram_indexes)}, one for each n-gram")
    return TensorType(FLOAT32, (*x.shape[:-1], max(ngram_indexes) + 1))


declare_none(string_concat, string_split, string_normalizer, regex_full_match, tf_idf_vectorizer)
