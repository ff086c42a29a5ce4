"""Kernels of graphir.ops.string. Strings are `str` in object arrays; bytes that are no UTF-8 stand in them as lone surrogates."""

from typing import Any

from graphir.dtypes import STRING

from ..kernel import Site, extra, prepared


def texts(x: Any) -> list[str]:
    """The strings of an array, flat."""
    return [s if isinstance(s, str) else text(s) for s in x.reshape(-1).tolist()]


def text(s: Any) -> str:
    """One string of a file or a feed. Raises ValueError for what is none."""
    if isinstance(s, bytes):
        return s.decode(errors="surrogateescape")
    if isinstance(s, str):
        return s
    raise ValueError(f"{s!r} stands in a tensor of strings")


def filled(xp: Any, strings: list[str], shape: Any) -> Any:
    """The array of these strings."""
    made = xp.empty(len(strings), dtype=STRING)
    made[:] = strings
    return made.reshape(shape)


@prepared
def string_concat(site: Site):
    xp = site.xp

    def run(x, y):
        a, b = xp.broadcast_arrays(x, y)
        first, second = texts(a), texts(b)
        site.budget.room(sum(map(len, first)) + sum(map(len, second)))
        return filled(xp, [s + t for s, t in zip(first, second)], a.shape)

    return run


@prepared
def string_split(site: Site):
    xp, delimiter, most = site.xp, site.attributes["delimiter"], site.attributes["maxsplit"]
    delimiter, most = text(delimiter) if delimiter else None, -1 if most is None else most

    def run(x):
        pieces = [s.split(delimiter, most) for s in texts(x)]
        longest = max(map(len, pieces), default=0)
        site.budget.room(len(pieces) * longest * STRING.itemsize)
        counts = xp.asarray([len(p) for p in pieces], dtype="int64").reshape(x.shape)
        return filled(xp, [s for p in pieces for s in (*p, *[""] * (longest - len(p)))], (*x.shape, longest)), counts

    return run


def string_normalizer(xp, x, *, case_change_action, is_case_sensitive, locale, stopwords):
    strings = texts(x)
    if stopwords:
        fold = (lambda s: s) if is_case_sensitive else str.lower
        stops = {fold(text(s)) for s in stopwords}
        strings = [s for s in strings if fold(s) not in stops]
    if case_change_action != "NONE":
        strings = list(map(str.lower if case_change_action == "LOWER" else str.upper, strings))
    strings = strings or [""]
    return filled(xp, strings, (*x.shape[:-1], len(strings)))


@prepared
def regex_full_match(site: Site):
    """By RE2, whose time is linear in the text whatever the pattern, and whose memory is bounded: files are not to be trusted, and `re` is neither."""
    re2 = extra("re2", "RegexFullMatch", "google-re2")
    options = re2.Options()
    options.log_errors, options.never_capture = False, True
    pattern = text(site.attributes["pattern"])
    try:
        matches = re2.compile(_utf8(pattern), options).fullmatch
    except re2.error as e:
        why = e.args[0].decode(errors="replace") if isinstance(e.args[0], bytes) else e
        raise ValueError(f"the pattern {pattern!r} is not in the syntax of RE2: {why}") from None
    return lambda x: site.xp.asarray([matches(_utf8(s)) is not None for s in texts(x)], dtype=bool).reshape(x.shape)


def _utf8(s: str) -> bytes:
    try:
        return s.encode(errors="surrogateescape")
    except UnicodeEncodeError:  # a half of a surrogate pair that no bytes stand behind
        return s.encode(errors="surrogatepass")


@prepared
def tf_idf_vectorizer(site: Site):
    """Items become numbers, and n-grams the nodes of a trie: the numbers of a node and of an item tell the next, for all windows at once."""
    xp, a = site.xp, site.attributes
    numbered, known, nodes, grams = _trie(a)
    width, step_keys = len(known), xp.asarray(sorted(nodes), dtype="int64")
    step_nodes = xp.asarray([nodes[k] for k in sorted(nodes)], dtype="int64")
    gram_of = xp.asarray([grams.get(i, -1) for i in range(len(nodes) + 1)], dtype="int64")
    places = xp.asarray(a["ngram_indexes"], dtype="int64")
    weights = xp.asarray(a["weights"], dtype="float32") if a["mode"] != "TF" and a["weights"] else xp.ones(len(places), dtype="float32")
    size, least, most = max(a["ngram_indexes"]) + 1, a["min_gram_length"], a["max_gram_length"]

    def found(ids: Any) -> Any:
        """The n-grams that occur, and the rows in which they do."""
        length = ids.shape[1]
        for skip in range(a["max_skip_count"] + 1):
            at, step = xp.zeros(ids.shape, dtype="int64"), skip + 1
            for n in range(1, most + 1):
                windows = length - (n - 1) * step
                if windows <= 0:
                    break
                at = _next(xp, at[:, :windows], ids[:, (n - 1) * step :], width, step_keys, step_nodes)
                gram = xp.where(at >= 0, gram_of[at], -1)
                if n >= least and (n > 1 or skip == 0):
                    row, place = xp.nonzero(gram >= 0)
                    yield row, gram[row, place]
            if (length - 1) // step == 0:
                break

    def run(x):
        rows = x if x.ndim == 2 else x.reshape(1, -1)
        y = xp.zeros((len(rows), size), dtype="float32")
        for row, gram in found(numbered(xp, rows)):
            if a["mode"] == "IDF":
                y[row, places[gram]] = weights[gram]
            else:
                xp.scatter_add(y, (row, places[gram]), weights[gram])
        return y.reshape((*x.shape[:-1], size))

    return run


def _next(xp: Any, at: Any, ids: Any, width: int, keys: Any, nodes: Any) -> Any:
    """The nodes that items lead to; -1 where there is none."""
    if not len(keys):
        return xp.full(at.shape, -1)
    wanted = xp.where((at >= 0) & (ids >= 0), at * width + ids, -1)
    found = xp.minimum(xp.searchsorted(keys, wanted), len(keys) - 1)
    return xp.where(keys[found] == wanted, nodes[found], -1)


def _trie(a: dict[str, Any]) -> tuple[Any, dict[Any, int], dict[int, int], dict[int, int]]:
    """What numbers the items of an array, the number of each item, (node * items + item) -> node, and node -> n-gram; node 0 is the root."""
    strings = a["pool_strings"] is not None
    pool = [text(s) for s in a["pool_strings"]] if strings else list(a["pool_int64s"])
    known = {item: i for i, item in enumerate(dict.fromkeys(pool))}
    nodes: dict[int, int] = {}
    grams: dict[int, int] = {}
    starts, number = list(a["ngram_counts"]), 0
    if sorted(starts) != starts or (starts and not 0 <= starts[0] <= starts[-1] <= len(pool)):
        raise ValueError(f"ngram_counts is {starts}; expected rising places in the pool, which has {len(pool)} items")
    for length, (start, end) in enumerate(zip(starts, [*starts[1:], len(pool)]), 1):
        for first in range(start, end - length + 1, length):
            node = 0
            for item in pool[first : first + length]:
                node = nodes.setdefault(node * len(known) + known[item], len(nodes) + 1)
            if number >= len(a["ngram_indexes"]):
                raise ValueError(f"ngram_indexes has {number} places; expected one for each n-gram of the pool")
            if a["min_gram_length"] <= length <= a["max_gram_length"]:
                grams[node] = number
            number += 1

    def numbered(xp: Any, x: Any) -> Any:
        items = texts(x) if strings else x.reshape(-1).tolist()
        return xp.asarray([known.get(item, -1) for item in items], dtype="int64").reshape(x.shape)

    return numbered, known, nodes, grams
