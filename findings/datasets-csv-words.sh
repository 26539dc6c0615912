#!/usr/bin/env bash
# load_dataset drops words such as null, NA and None from CSV, and rewrites numbers in text.
#
# The csv builder reads with the defaults of pandas: a cell that spells one of its markers of missing
# values becomes None, and a column of digits becomes numbers (007 -> 7). A parallel corpus then has pairs
# without a side. keep_default_na=False, na_filter=False and features of strings keep the text.
#
# Seen with datasets 5.2.0 and pandas 3.1.1: the words null, NA, None, nan of a column of text are None.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" datasets==5.2.0 pandas==3.1.1
printf 'en,de,number\nnull,Null,007\nNA,Natrium,010\nNone,keine,1.0\nword,Wort,2\n' >"$folder/train.csv"
HF_HOME=$folder python - "$folder/train.csv" <<'END' 2>/dev/null
import sys

from datasets import Features, Value, load_dataset

read = load_dataset("csv", data_files=sys.argv[1], split="train")
print("as it is:", read["en"][:], read["number"][:])
assert read["en"][:] == [None, None, None, "word"], "this has changed"
assert read["number"][:] == [7, 10, 1, 2], "this has changed"
columns = {name: Value("string") for name in read.column_names}
kept = load_dataset(
    "csv",
    data_files=sys.argv[1],
    split="train",
    keep_default_na=False,
    na_filter=False,
    features=Features(columns),
)
print("with options:", kept["en"][:], kept["number"][:])
assert kept["en"][:] == ["null", "NA", "None", "word"]
assert kept["number"][:] == ["007", "010", "1.0", "2"]
END
