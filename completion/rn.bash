# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Completion of RN's programs in bash.  What there is to complete is asked of the program
# itself, so it is never out of date.  Installed under the name of every program, which is
# how bash finds it; to try it, source this file.

# Each row of --dump-options as _rn_name, _rn_letter, … of its tab-separated fields.
_rn_row() {
	# A tab would be white space to read, which empty fields vanish in.
	IFS=$'\037' read -r _rn_name _rn_letter _rn_meta _rn_whose _rn_dflt _rn_help _rn_choices \
		<<<"${1//$'\t'/$'\037'}"
}

_rn() {
	local program=$1 cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} option='' head=''
	local _rn_name _rn_letter _rn_meta _rn_whose _rn_dflt _rn_help _rn_choices
	local row words=() operand='' rows=()

	COMPREPLY=()
	mapfile -t rows < <("$program" --dump-options 2>/dev/null)
	# readline makes three words of --option=value, unless '=' breaks none.
	if [[ $cur == '=' ]]; then
		option=$prev cur=''
	elif [[ $prev == '=' ]] && ((COMP_CWORD > 1)); then
		option=${COMP_WORDS[COMP_CWORD - 2]}
	elif [[ $cur == --*=* ]]; then
		option=${cur%%=*} head=${cur%%=*}= cur=${cur#*=}
	elif [[ $prev == -?* ]]; then
		option=$prev
	fi
	for row in "${rows[@]}"; do
		_rn_row "$row"
		if [[ $_rn_whose == *positional ]]; then
			[[ $operand ]] || operand=$_rn_choices
		elif [[ ! $_rn_meta ]]; then
			words+=("$_rn_name")
			[[ $_rn_dflt == true ]] && words+=("--no-${_rn_name#--}")
		else
			words+=("$_rn_name")
			# The value of an option: one of its choices, or a file.
			[[ $option && ($option == "$_rn_name" || $option == "$_rn_letter") ]] || continue
			mapfile -t COMPREPLY < <(compgen -P "$head" -W "${_rn_choices//|/ }" -- "$cur")
			return
		fi
	done
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "${words[*]}" -- "$cur")
	elif [[ $operand ]]; then
		mapfile -t COMPREPLY < <(compgen -W "${operand//|/ }" -- "$cur")
	fi
}

# The programs that are there, and the one under whose name this file was found.
mapfile -t _rn_programs < <(compgen -c rn- && printf '%s\n' "${BASH_SOURCE[0]##*/}")
complete -o default -o bashdefault -F _rn "${_rn_programs[@]}"
unset _rn_programs
