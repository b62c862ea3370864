"""Names that fire, MONAI's parser, a shell or YAML would read as something else."""

UGLY = [
    *("2024-03-01", "2024-10-11", "1e5", "007", "0x1f", "1_000", "3.", "-1", "-x", "--x=1", "-", "--", "+", "~", "."),
    *("a,b", "1,2", "[x]", "{x}", "(x)", "[", "{[]: 1}", "a: b", "x=y", "lambda: 0", "a if b else c", "f'x'", "b'x'"),
    *("true", "True", "False", "None", "null", "yes", "NaN", "__debug__", "\ufb01", "naïve", "日本", "a\u00a0b", "\U0001f9e0"),
    *("scans#2", "#", "a#b#c", "a # b", "a::b", "x@::y", "x%::y", "50 %", "100%#2", "a@b", "mail@x#y", "import x#2", "$x"[1:]),
    *(
        "it's",
        'say "x"',
        "a\\b",
        "a\\#b",
        "'",
        '"',
        "`x`",
        "!x",
        "a\nb",
        "a\tb",
        " a ",
        "",
        "a;b",
        "a&b",
        "a|b",
        "*",
        "\udcff#",
    ),
    *("[" * 500, "a" * 300, "$x#", "@x", "%x", "$", "@", "%", "$'x'"),
]
