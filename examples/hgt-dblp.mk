# The tables of the three HGT examples.
DATA    := dblp
SOURCES := Author=author.csv Paper=paper.csv.zst Term=term.csv.zst Conference=conference.csv \
           AuthorWord=author_word.csv.zst PaperWord=paper_word.csv.zst Writes=writes.csv \
           HasTerm=has_term.csv.zst PublishedIn=published_in.csv
RUNS    ?= 10
include ../example.mk
