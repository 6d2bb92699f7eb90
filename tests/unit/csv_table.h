/* SPDX-License-Identifier: Apache-2.0
 *
 * Inputs of separated text, and the rows or the message that each must give.
 */
#ifndef CSV_TABLE_H
#define CSV_TABLE_H

#include <stddef.h>
#include <stdio.h>

struct row {
	const char *text, *want; /* rows, or what the message holds after "!" */
	size_t len;
};

#define R(text, want) { text, want, sizeof(text) - 1 }
static const struct row table[] = {
	R("a,b\n1,x\n2,y\n", "a int64, b string | 1,x | 2,y"),
	R("a,b\n1,x\n2,y", "a int64, b string | 1,x | 2,y"),
	R("a,b\r\n1,x\r\n2,y\r\n", "a int64, b string | 1,x | 2,y"),
	R("a,b\r\n1,x\r\n2,y\r", "a int64, b string | 1,x | 2,y"),
	R("\xEF\xBB\xBF" "a\n1\n", "a int64 | 1"),
	R("a\n", "a string"),
	R("a", "a string"),
	R("a,b\n\n1,2\n\n\n3,4\n\n", "a int64, b int64 | 1,2 | 3,4"),
	R("\n\na,b\n1,2\n", "a int64, b int64 | 1,2"),
	R("a\n1\n\n2\n", "a int64 | 1 | <null> | 2"),
	R("a,b\n,\n,\n", "a string, b string | <null>,<null> | <null>,<null>"),
	R("a,b\n,5\n1,\n", "a int64, b int64 | <null>,5 | 1,<null>"),
	R("a,b\n\"\",1\n,2\nx,3\n", "a string, b int64 | ,1 | <null>,2 | x,3"),
	R("a\n\"x,y\"\n", "a string | x,y"),
	R("a,b\n\"he said \"\"hi\"\"\",2\n", "a string, b int64 | he said \"hi\",2"),
	R("a,b\n\"\"\"\",\"\"\"\"\"\"\n", "a string, b string | \",\"\""),
	R("a,b\n\"one\ntwo\r\nthree\",2\n3,4\n",
	  "a string, b int64 | one\ntwo\r\nthree,2 | 3,4"),
	R("\"a\",\"b \"\"q\"\"\"\n1,2\n", "a int64, b \"q\" int64 | 1,2"),
	R("a\n\"12\"\n13\n", "a int64 | 12 | 13"),
	R("a,b\n5\" disk,x\"y\"z\n", "a string, b string | 5\" disk,x\"y\"z"),
	R("a,b,c,d,e\ntrue,1,1.5,2020-01-02,x\nFALSE,-2,1e3,2020-01-02T03:04:05.25+01:00,y\n",
	  "a bool, b int64, c float64, d timestamp, e string | "
	  "true,1,1.5,2020-01-02T00:00:00Z,x | false,-2,1000,2020-01-02T02:04:05.25Z,y"),
	R("a\n1\n2.5\n", "a float64 | 1 | 2.5"),
	R("a\n1\nx\n", "a string | 1 | x"),
	R("a\n2.5\nx\n", "a string | 2.5 | x"),
	R("a\ntrue\n1\n", "a string | true | 1"),
	R("a\n2020-01-01\n5\n", "a string | 2020-01-01 | 5"),
	R("a\n1.5\nNaN\n-0.0\ninf\n", "a float64 | 1.5 | <null> | 0 | inf"),
	R("a\n9223372036854775807\n-9223372036854775808\n",
	  "a int64 | 9223372036854775807 | -9223372036854775808"),
	R("a\n9223372036854775808\n", "a string | 9223372036854775808"),
	R("a\n1.5\n9223372036854775808\n", "a float64 | 1.5 | 9.223372036854776e18"),
	R("a\n9223372036854775808\n1.5\n", "a float64 | 9.223372036854776e18 | 1.5"),
	R("a\n1\n9223372036854775808\n1e3\n", "a float64 | 1 | 9.223372036854776e18 | 1000"),
	R("a\n1\n-99999999999999999999\n", "a string | 1 | -99999999999999999999"),
	R("a\n-99999999999999999999\n1\n", "a string | -99999999999999999999 | 1"),
	R("a\n99999999999999999999\n1.5\nx\n", "a string | 99999999999999999999 | 1.5 | x"),
	R("a\n99999999999999999999\n\xFF\n", "!in.csv:3: column 'a' is not UTF-8"),
	R("a\n 1\n", "a string |  1"),
	R("a\n2020-02-30\n", "a string | 2020-02-30"),
	R(",b,\n1,2,3\n", "c0 int64, b int64, c2 int64 | 1,2,3"),
	R("\xC3\xA4\n\xE2\x82\xAC\xF0\x9F\x98\x80\n",
	  "\xC3\xA4 string | \xE2\x82\xAC\xF0\x9F\x98\x80"),
	R("", "!'in.csv' is empty: it has no header"),
	R("\n\n", "!'in.csv' is empty"),
	R("a,b\n1,2\n1,2,3\n", "!in.csv:3:5: 3 fields where the header has 2"),
	R("a,b\n1,2\n1\n", "!in.csv:3:2: 1 field where the header has 2"),
	R("a,b\n\"x\ny\",2\n7\n", "!in.csv:4:2: 1 field where the header has 2"),
	R("x,a,y,a\n1,2,3,4\n", "!in.csv:1: columns 2 and 4 are both named 'a'"),
	R("a,b\n\"x\ny\",\"\n2\n", "!in.csv:3:4: a quote is not closed"),
	R("\xEF\xBB\xBF\"a\n", "!in.csv:1:1: a quote is not closed"),
	R("a,b\n1,2,\"x\ny\"\n", "!in.csv:2:5: 3 fields where the header has 2"),
	R("a\n\"x\n", "!in.csv:2:1: a quote is not closed"),
	R("a,b\n\"x\"y,1\n", "!in.csv:2:4: there is text after a closing quote"),
	R("a,b\n1,2\n\"x\ny\" ,1\n", "!in.csv:4:3: there is text after a closing quote"),
	R("a,b\r1,2\r", "!in.csv:1:4: a carriage return is not followed by a line feed"),
	R("a,b\n1\0,2\n", "!in.csv:2:2: there is a NUL byte"),
	R("a,b\n\"1\0\",2\n", "!in.csv:2:3: there is a NUL byte"),
	R("a,b\nx,\xFFz\n", "!in.csv:2: column 'b' is not UTF-8 (byte 0xFF)"),
	R("a,b\nx,\xED\xA0\x80\n", "!in.csv:2: column 'b' is not UTF-8 (byte 0xED)"),
	R("a,b\nx,\xC0\x80\n", "!column 'b' is not UTF-8 (byte 0xC0)"),
	R("a,b\nx,\xE2\x82\n", "!column 'b' is not UTF-8 (byte 0xE2)"),
	R("a,\xFF\n1,2\n", "!in.csv:1: the name of column 2 is not UTF-8"),
	R("a,b\n\"x\n\ny\",\"\xFF\"\n", "!in.csv:4: column 'b' is not UTF-8"),
};

/* Text on one line, what is not printed as \xNN. */
static void show(const char *s, size_t n, char *out, size_t cap)
{
	size_t k = 0;

	for (size_t i = 0; i < n && k + 5 < cap; i++)
		k += (size_t)snprintf(out + k, cap - k, s[i] > 31 && s[i] < 127 ? "%c" : "\\x%02x",
				      (unsigned char)s[i]);
	out[k] = '\0';
}

#endif
