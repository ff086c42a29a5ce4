"""Rows of graphir.ops.string."""

import unicodedata

import numpy as np

from cases import array, case


def words(*x) -> np.ndarray:
    return np.array(x, dtype=object)


PAIR = (words("a", "b", ""), words("x", "yé", "z"))
LINES = words("a  b c", " lead and trail ", "", "one")
DAYS = words("Monday", "tuesday", "MONDAY", "É")
GRAMS = {"max_skip_count": 0, "min_gram_length": 1, "max_gram_length": 2, "ngram_counts": (0, 3), "ngram_indexes": (0, 1, 2, 3, 4, 5)}
NUMBERS = {**GRAMS, "pool_int64s": (2, 3, 5, 5, 4, 5, 6, 7, 8)}
TEXTS = {**GRAMS, "pool_strings": ("two", "three", "five", "five", "four", "five", "six", "seven", "eight")}
ITEMS = np.array([[1, 1, 3, 3, 3, 7], [8, 6, 7, 5, 6, 8]])
WEIGHTS = (2.0, 3.0, 5.0, 7.0, 11.0, 13.0)


def weighted_by_gram(x):
    """The i-th weight is the i-th n-gram's, as the standard and ONNX Runtime have it; the reference takes the i-th place's."""
    return np.array([1 * 20.0, 1 * 30.0, 1 * 10.0], np.float32)


CASES = {
    "StringConcat": [
        case(*PAIR),
        case(words("a", "b").reshape(2, 1), words("x", "y", "z")),
        case(words("a", "b"), np.array("!", object)),
        case(np.empty((0, 2), object), words("x", "y"), referee=lambda x, y: np.empty((0, 2), object)),
        case(words("a", b"\xff"), words("b", "c"), referee=lambda x, y: words("ab", "\udcffc")),
    ],
    "StringSplit": [
        case(LINES),
        case(LINES, maxsplit=1),
        case(words("a-b--c", "-", "d"), delimiter="-"),
        case(words("a-b--c", "-", "d").reshape(3, 1), delimiter="-", maxsplit=1),
        case(words("a, b", "c"), delimiter=", "),
        case(words("a b", "c"), delimiter="", maxsplit=0),
        case(np.empty((0,), object), delimiter="-"),
        case(np.array("a b", object), referee=lambda x: (words("a", "b"), np.array(2))),
    ],
    "StringNormalizer": [
        case(words("monday", "tuesday", "wednesday"), case_change_action="UPPER", is_case_sensitive=1, stopwords=("monday",)),
        case(DAYS, stopwords=("monday",), referee=lambda x: words("tuesday", "É")),
        case(DAYS, stopwords=("Monday",), is_case_sensitive=1, referee=lambda x: words("tuesday", "MONDAY", "É")),
        case(DAYS, case_change_action="LOWER", referee=lambda x: words("monday", "tuesday", "monday", "é")),
        case(DAYS.reshape(1, 4), case_change_action="UPPER", referee=lambda x: words("MONDAY", "TUESDAY", "MONDAY", "É").reshape(1, 4)),
        case(words("a", "A").reshape(1, 2), stopwords=("a",), referee=lambda x: words("").reshape(1, 1)),
        case(words("a"), stopwords=("a",), is_case_sensitive=1, referee=lambda x: words("")),
        case(words(), referee=lambda x: words("")),
        case(words("two words", unicodedata.normalize("NFD", "é")), stopwords=("two",), referee=lambda x: x),
    ],
    "RegexFullMatch": [
        case(words("www.google.com", "www.facebook.com", "www.bbc.co.uk"), pattern=r"www\.[\w.-]+\.\bcom\b"),
        case(words("ab", "abc", "").reshape(3, 1), pattern="(a|b)*"),
        case(words("aé", "ü"), pattern="a.", referee=lambda x: np.array([True, False])),
        case(words("a" * 40 + "!"), pattern="(a+)+", referee=lambda x: np.array([False])),  # what backtracking never ends on
        case(words("a\nb", "\u0661"), pattern=r"(?s)a.b|\d", referee=lambda x: np.array([True, False])),  # RE2's \d is ASCII
        case(words(b"\xff", "\udcff", "\ud800"), pattern=r"\C", referee=lambda x: np.array([True, True, False])),
        case(np.empty((0, 2), object), pattern="a", referee=lambda x: np.empty((0, 2), bool)),
    ],
    "TfIdfVectorizer": [
        case(ITEMS[0], mode="TF", **NUMBERS),
        case(ITEMS, mode="TF", **NUMBERS),
        case(ITEMS.astype("int32"), mode="TF", **{**NUMBERS, "max_skip_count": 5, "min_gram_length": 2}),
        case(ITEMS, mode="TF", **{**NUMBERS, "max_skip_count": 2}),
        case(ITEMS, mode="IDF", **NUMBERS, referee="ort"),
        case(ITEMS, mode="TFIDF", weights=WEIGHTS, **NUMBERS),
        case(ITEMS, mode="IDF", weights=WEIGHTS, **NUMBERS),
        case(np.array([[4, 5, 4, 5, 6]]), mode="TFIDF", weights=WEIGHTS, **{**NUMBERS, "max_skip_count": 1, "max_gram_length": 1}),
        case(words("five", "six", "seven", "two", "six", "none"), mode="TF", **TEXTS),
        case(words("five", "six", "four", "five").reshape(2, 2), mode="IDF", **TEXTS, referee="ort"),
        case(np.array([5, 6, 7]), mode="TFIDF", weights=(10.0, 20.0, 30.0), max_skip_count=0, min_gram_length=1, max_gram_length=1,
             ngram_counts=(0,), ngram_indexes=(2, 0, 1), pool_int64s=(5, 6, 7), referee=weighted_by_gram),
        case(np.array([1, 2, 3, 1, 2, 3]), mode="TF", max_skip_count=1, min_gram_length=3, max_gram_length=3, ngram_counts=(0, 0, 0), ngram_indexes=(0, 1),
             pool_int64s=(1, 2, 3, 1, 3, 2)),
        case(np.empty((0,), "int64"), mode="TF", **NUMBERS),
        case(np.empty((2, 0), "int64"), mode="TF", **NUMBERS),
        case(array(3, 7, low=1, high=8, dtype="int64"), mode="TF", **{**NUMBERS, "max_skip_count": 3}),
    ],
}  # fmt: skip
