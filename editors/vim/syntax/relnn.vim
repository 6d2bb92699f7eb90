" SPDX-License-Identifier: Apache-2.0
" Query programs of RN (docs/language.md).  Copy vim/ into ~/.vim.
if exists('b:current_syntax')
	finish
endif

syntax match relnnComment /#.*$/ contains=@Spell
syntax region relnnString start=/"/ skip=/\\./ end=/"/ oneline
syntax region relnnString start=/'/ skip=/\\./ end=/'/ oneline
syntax region relnnQuoted start=/`/ end=/`/ oneline
syntax match relnnNumber /\<\d\+\(\.\d\+\)\?\([eE][-+]\?\d\+\)\?\>/
syntax keyword relnnConstant True False None true false
syntax keyword relnnKeyword def enddef
syntax match relnnRun /?\s*\(fit\|val\|eval\|pred\|source\|stage\)\>/
syntax match relnnSet /\<\(Join\|Union\)\s*(\s*Set\>/
syntax match relnnMark /[?!]\ze\h/
syntax match relnnIf /:-\|->/
syntax match relnnEnd /\.\ze\s*\($\|#\)/
syntax keyword relnnAggregate sum add mean avg max min count softmax median quantile stddev
syntax match relnnAggregate /\<\(first\|last\|var\)\ze\s*(/
syntax match relnnAggregate /\<count\s*(\s*\zsdistinct\>/
syntax keyword relnnModule Linear Bilinear Embedding NodeLookup LayerNorm BatchNorm1d Dropout Tensor Concat ArgMax HashBucketTextEncoder HashBucket
syntax keyword relnnModule ReLU LeakyReLU ELU GELU SiLU Tanh Sigmoid Softplus Softmax LogSoftmax Identity
syntax keyword relnnModule CrossEntropyLoss NLLLoss BCELoss BCEWithLogitsLoss MSELoss L1Loss SmoothL1Loss
syntax keyword relnnModule HuberLoss MarginRankingLoss

highlight default link relnnComment Comment
highlight default link relnnString String
highlight default link relnnQuoted Identifier
highlight default link relnnNumber Number
highlight default link relnnConstant Constant
highlight default link relnnKeyword Keyword
highlight default link relnnRun Statement
highlight default link relnnSet Repeat
highlight default link relnnMark Operator
highlight default link relnnIf Operator
highlight default link relnnEnd Delimiter
highlight default link relnnAggregate Function
highlight default link relnnModule Type

setlocal commentstring=#\ %s
let b:current_syntax = 'relnn'
