/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The template engine against the rules of the Mustache specification for our subset, in our own words and examples, and against
 * its own stricter rules. Views are written with ' for ".
 */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "agent/base/text.h"
#include "agent/render/template.h"
#include "tests/unit/quotes.h"
#include "tests/unit/template_folder.h"

struct rendering {
	const char *rule;
	const char *template;
	const char *view;
	const char *expected;
	struct file partials[3];
};

struct refusal {
	const char *rule;
	const char *template;
	const char *view; /* NULL: the template itself is refused */
	enum error_code code;
	const char *pointer;
	const char *message;
	struct file partials[3];
};

static const struct rendering interpolation[] = {
	{"text without tags stays", "global\n\tdaemon } }} { x\n", "{}",
		"global\n\tdaemon } }} { x\n", {{0}}},
	{"an empty template is empty", "", "{}", "", {{0}}},
	{"a string", "mode {{mode}}\n", "{'mode':'tcp'}", "mode tcp\n", {{0}}},
	{"an integer", "bind :{{port}}", "{'port':8443}", "bind :8443", {{0}}},
	{"a large negative integer", "{{n}}", "{'n':-9223372036854775808}", "-9223372036854775808",
		{{0}}},
	{"zero is a value", "{{n}}", "{'n':0}", "0", {{0}}},
	{"an empty string is a value", "[{{s}}]", "{'s':''}", "[]", {{0}}},
	{"null and false write nothing", "[{{a}}{{b}}]", "{'a':null,'b':false}", "[]", {{0}}},
	{"no escaping", "{{v}}", "{'v':'& \\' < > \\\\ $'}", "& \" < > \\ $", {{0}}},
	{"no escaping with & either", "{{&v}}{{& v }}", "{'v':'<&>'}", "<&><&>", {{0}}},
	{"UTF-8 passes", "{{v}}", "{'v':'zürich \\u00a0 €'}", "zürich \u00a0 €", {{0}}},
	{"a value is not a template", "{{v}}", "{'v':'{{v}}'}", "{{v}}", {{0}}},
	{"blanks inside the tag do not matter", "|{{ \tv  }}|", "{'v':'x'}", "|x|", {{0}}},
	{"blanks around the tag stay", "| {{v}}\t|", "{'v':'x'}", "| x\t|", {{0}}},
	{"a variable never stands alone", "  {{v}}\n", "{'v':'x'}", "  x\n", {{0}}},
	{"... nor one that writes nothing", "  {{v}}\n|", "{'v':null}", "  \n|", {{0}}},
	{"a brace behind the tag is text", "{ {{v}}}", "{'v':'x'}", "{ x}", {{0}}},
	{"dotted names", "{{a.b.c}}", "{'a':{'b':{'c':'x'}}}", "x", {{0}}},
	{"... with &", "{{&a.b}}", "{'a':{'b':7}}", "7", {{0}}},
	{"... begin anywhere in the stack", "{{#a}}{{b.c}}{{/a}}", "{'a':{'x':1},'b':{'c':'y'}}",
		"y", {{0}}},
	{"... but not as one key", "{{a.b}}", "{'a.b':'no','a':{'b':'yes'}}", "yes", {{0}}},
	{"digits, hyphens and underscores in names", "{{X-Real_IP4}}", "{'X-Real_IP4':'x'}", "x",
		{{0}}},
	{"{{.}} is the item", "{{#l}}<{{.}}>{{/l}}", "{'l':['a',1,null]}", "<a><1><>", {{0}}},
	{"{{ & . }} too", "{{#l}}{{& . }}{{/l}}", "{'l':['<']}", "<", {{0}}},
};

static const struct rendering sections[] = {
	{"true renders", "{{#a}}yes{{/a}}", "{'a':true}", "yes", {{0}}},
	{"false does not", "<{{#a}}no{{/a}}>", "{'a':false}", "<>", {{0}}},
	{"null does not", "<{{#a}}no{{/a}}>", "{'a':null}", "<>", {{0}}},
	{"an empty array does not", "<{{#a}}no{{/a}}>", "{'a':[]}", "<>", {{0}}},
	{"names in a hidden body are not looked up", "{{#a}}{{nope}}{{/a}}", "{'a':null}", "",
		{{0}}},
	{"an object is the context", "{{#a}}{{b}}{{/a}}", "{'a':{'b':'x'}}", "x", {{0}}},
	{"an empty object renders", "{{#a}}x{{/a}}", "{'a':{}}", "x", {{0}}},
	{"outer names are seen from inside", "{{#a}}{{b}}{{c}}{{/a}}", "{'a':{'b':1},'c':2}", "12",
		{{0}}},
	{"inner names hide outer ones", "{{#a}}{{b}}{{/a}}{{b}}", "{'a':{'b':1},'b':2}", "12",
		{{0}}},
	{"a null hides too", "[{{#a}}{{b}}{{/a}}]", "{'a':{'b':null},'b':2}", "[]", {{0}}},
	{"all levels are seen", "{{#a}}{{#b}}{{#c}}{{1}}{{2}}{{3}}{{4}}{{/c}}{{/b}}{{/a}}",
		"{'1':1,'a':{'2':2,'b':{'3':3,'c':{'4':4}}}}", "1234", {{0}}},
	{"an array renders once an item", "{{#l}}{{n}},{{/l}}", "{'l':[{'n':1},{'n':2},{'n':3}]}",
		"1,2,3,", {{0}}},
	{"items do not see each other", "{{#l}}{{n}}{{/l}}", "{'n':'o','l':[{'n':1},{}]}", "1o",
		{{0}}},
	{"arrays in arrays", "{{#l}}({{#.}}{{.}}{{/.}}){{/l}}", "{'l':[[1,2],[],['x']]}",
		"(12)()(x)", {{0}}},
	{"{{#.}} of an object", "{{#l}}{{#.}}{{n}}{{/.}}{{/l}}", "{'l':[{'n':1}]}", "1", {{0}}},
	{"{{#.}} of booleans", "{{#l}}<{{#.}}x{{/.}}>{{/l}}", "{'l':[true,false]}", "<x><>", {{0}}},
	{"a true is no context", "{{#l}}{{#t}}{{.}}{{/t}}{{/l}}", "{'t':true,'l':['x']}", "x",
		{{0}}},
	{"the same section again", "{{#t}}a{{/t}} b {{#t}}c{{/t}}", "{'t':true}", "a b c", {{0}}},
	{"nested", "{{#t}}A{{#t}}B{{/t}}C{{/t}}", "{'t':true}", "ABC", {{0}}},
	{"nested in a hidden one", "A{{#f}}B{{#t}}C{{/t}}D{{/f}}E", "{'t':true,'f':false}", "AE",
		{{0}}},
	{"an item of the outer array in the inner", "{{#l}}{{#m}}{{k}}{{v}} {{/m}}{{/l}}",
		"{'l':[{'k':'a','m':[{'v':1},{'v':2}]},{'k':'b','m':[{'v':3}]}]}", "a1 a2 b3 ",
		{{0}}},
	{"a string renders", "{{#a}} addr {{a}}={{.}}{{/a}}", "{'a':'x'}", " addr x=x", {{0}}},
	{"an integer renders", "{{#a}} port {{.}}{{/a}}", "{'a':80}", " port 80", {{0}}},
	{"... an empty string and 0 too", "{{#a}}x{{/a}}{{#b}}y{{/b}}", "{'a':'','b':0}", "xy",
		{{0}}},
	{"... so they are not inverted", "{{^a}}x{{/a}}{{^b}}y{{/b}}", "{'a':'','b':0}", "", {{0}}},
	{"dotted names", "{{#a.b}}{{c}}{{/a.b}}", "{'a':{'b':{'c':'x'}}}", "x", {{0}}},
	{"... do not push what is on the way", "{{#a.b}}{{x}}{{/a.b}}",
		"{'x':'out','a':{'x':'in','b':{}}}", "out", {{0}}},
	{"blanks inside the tags", "{{# a }}x{{/\ta }}", "{'a':true}", "x", {{0}}},
	{"blanks around the tags stay", " | {{#a}}\t|\t{{/a}} | \n", "{'a':true}", " | \t|\t | \n",
		{{0}}},
	{"... on several lines", " | {{#a}} {{! c }}\n {{/a}} | \n", "{'a':true}", " |  \n  | \n",
		{{0}}},
	{"a line with more than the tag stays", " {{#a}}YES{{/a}}\n {{#a}}GOOD{{/a}}\n",
		"{'a':true}", " YES\n GOOD\n", {{0}}},
	{"two tags on a line do not stand alone", "{{#a}}{{/a}}\n|", "{'a':true}", "\n|", {{0}}},
	{"a line of its own goes", "| This\n{{#a}}\n|\n{{/a}}\n| Is\n", "{'a':true}",
		"| This\n|\n| Is\n", {{0}}},
	{"... with its blanks", "| This\n  {{#a}}\t\n|\n\t{{/a}}  \n| Is\n", "{'a':true}",
		"| This\n|\n| Is\n", {{0}}},
	{"... with CRLF", "|\r\n{{#a}}\r\n{{/a}}\r\n|", "{'a':true}", "|\r\n|", {{0}}},
	{"... a lone CR is not a line end", "{{#a}}\rx{{/a}}", "{'a':true}", "\rx", {{0}}},
	{"... as first line", "  {{#a}}\n#{{/a}}\n/", "{'a':true}", "#\n/", {{0}}},
	{"... as last line without newline", "#{{#a}}\n/\n  {{/a}}", "{'a':true}", "#\n/\n", {{0}}},
	{"... of a hidden section", "a\n{{#f}}\nb\n{{/f}}\nc\n", "{'f':false}", "a\nc\n", {{0}}},
	{"... of an array", "{{#l}}\nserver {{.}}\n{{/l}}\n", "{'l':['a','b']}",
		"server a\nserver b\n", {{0}}},
	{"... of sections in sections", "{{#l}}\n  {{#t}}\n  {{.}}\n  {{/t}}\n{{/l}}\n",
		"{'t':true,'l':[1,2]}", "  1\n  2\n", {{0}}},
	{"lines without a tag stay, empty ones too", "\n{{#a}}\n\n{{/a}}\n\n", "{'a':true}",
		"\n\n\n", {{0}}},
};

static const struct rendering inverted[] = {
	{"false renders", "{{^a}}yes{{/a}}", "{'a':false}", "yes", {{0}}},
	{"null renders", "{{^a}}yes{{/a}}", "{'a':null}", "yes", {{0}}},
	{"an empty array renders", "{{^a}}yes{{/a}}", "{'a':[]}", "yes", {{0}}},
	{"true does not", "<{{^a}}no{{/a}}>", "{'a':true}", "<>", {{0}}},
	{"an object does not", "<{{^a}}no{{/a}}>", "{'a':{}}", "<>", {{0}}},
	{"a filled array does not", "<{{^a}}no{{/a}}>", "{'a':[false]}", "<>", {{0}}},
	{"once, in the outer context", "{{#l}}{{^f}}{{.}}{{/f}}{{/l}}", "{'f':false,'l':['x']}",
		"x", {{0}}},
	{"nested", "{{^f}}A{{^f}}B{{/f}}C{{/f}}", "{'f':false}", "ABC", {{0}}},
	{"both sides", "{{#a}}+{{/a}}{{^a}}-{{/a}}", "{'a':null}", "-", {{0}}},
	{"dotted names", "{{^a.b}}x{{/a.b}}", "{'a':{'b':false}}", "x", {{0}}},
	{"of the item", "{{#l}}{{^.}}x{{/.}}{{/l}}", "{'l':[true,false,[]]}", "xx", {{0}}},
	{"blanks inside the tags", "{{^ a }}x{{/ a }}", "{'a':false}", "x", {{0}}},
	{"blanks around the tags stay", " | {{^a}}\t|\t{{/a}} | \n", "{'a':false}", " | \t|\t | \n",
		{{0}}},
	{"a line with more than the tag stays", " {{^a}}NO{{/a}}\n", "{'a':false}", " NO\n", {{0}}},
	{"a line of its own goes", "| This\n  {{^a}}\n|\n  {{/a}}\n| Is", "{'a':false}",
		"| This\n|\n| Is", {{0}}},
	{"... with CRLF", "|\r\n{{^a}}\r\n{{/a}}\r\n|", "{'a':false}", "|\r\n|", {{0}}},
	{"... as first line", "  {{^a}}\n^{{/a}}\n/", "{'a':false}", "^\n/", {{0}}},
	{"... as last line without newline", "^{{^a}}\n/\n  {{/a}}", "{'a':false}", "^\n/\n",
		{{0}}},
};

static const struct rendering comments[] = {
	{"nothing is left", "12{{! a comment }}34", "{}", "1234", {{0}}},
	{"an empty one", "1{{!}}2", "{}", "12", {{0}}},
	{"anything is allowed inside", "1{{! {{#x {{{ = & > } }}2", "{}", "12", {{0}}},
	{"it ends at the first braces", "1{{! {{x}} }}2", "{}", "1 }}2", {{0}}},
	{"several lines", "1{{!\n a\n b\n}}2", "{}", "12", {{0}}},
	{"blanks around stay", "12 {{! c }} 34", "{}", "12  34", {{0}}},
	{"a line with more than the comment stays", "  12 {{! 34 }}\n", "{}", "  12 \n", {{0}}},
	{"a line of its own goes", "a\n{{! c }}\nb\n", "{}", "a\nb\n", {{0}}},
	{"... with its blanks", "a\n  {{! c }}\t\nb\n", "{}", "a\nb\n", {{0}}},
	{"... with CRLF", "|\r\n{{! c }}\r\n|", "{}", "|\r\n|", {{0}}},
	{"... as first line", "  {{! c }}\n!", "{}", "!", {{0}}},
	{"... as last line without newline", "!\n  {{! c }}", "{}", "!\n", {{0}}},
	{"... as the only line", " {{! c }} ", "{}", "", {{0}}},
	{"lines of their own go", "a\n{{!\nc\n}}\nb\n", "{}", "a\nb\n", {{0}}},
	{"... with their blanks", "a\n  {{!\n  c\n  }}  \nb\n", "{}", "a\nb\n", {{0}}},
	{"text before the first line keeps it", "a {{!\n}}\nb", "{}", "a \nb", {{0}}},
	{"text behind the last line keeps it", " {{!\n}} a\nb", "{}", "  a\nb", {{0}}},
	{"a tag behind a comment does not stand alone", "{{!\n}}{{#t}}\nx{{/t}}", "{'t':true}",
		"\nx", {{0}}},
};

static const struct rendering partials[] = {
	{"the text is put in", "[{{>p}}]", "{}", "[from p]", {{"p", "from p"}}},
	{"an empty one", "[{{>p}}]", "{}", "[]", {{"p", ""}}},
	{"it sees the context", "{{#a}}{{>p}}{{/a}}", "{'a':{'x':1},'y':2}", "12",
		{{"p", "{{x}}{{y}}"}}},
	{"... of each item", "{{#l}}{{>p}}{{/l}}", "{'l':['a','b']}", "<a><b>", {{"p", "<{{.}}>"}}},
	{"partials in partials", "{{>p}}", "{'x':1}", "(1)", {{"p", "({{>q}})"}, {"q", "{{x}}"}}},
	{"one partial twice, by two ways", "{{>q}}{{>p}}{{>q}}", "{}", "q(q)q",
		{{"p", "({{>q}})"}, {"q", "q"}}},
	{"names with dots and hyphens", "{{>a-b.cfg}}", "{}", "x", {{"a-b.cfg", "x"}}},
	{"blanks inside the tag", "|{{> p\t}}|", "{}", "|x|", {{"p", "x"}}},
	{"blanks around the tag stay", "| {{>p}} |", "{}", "| \t|\t |", {{"p", "\t|\t"}}},
	{"within a line nothing is indented", "  {{x}}  {{>p}}\n", "{'x':'|'}", "  |  >\n>\n",
		{{"p", ">\n>"}}},
	{"... not even at its start", "  {{>p}} x\n", "{}", "  >\n> x\n", {{"p", ">\n>"}}},
	{"on a line of its own it replaces the line", "a\n{{>p}}\nb\n", "{}", "a\np\nb\n",
		{{"p", "p\n"}}},
	{"... with CRLF", "|\r\n{{>p}}\r\n|", "{}", "|\r\n>|", {{"p", ">"}}},
	{"... as first line", "  {{>p}}\n>", "{}", "  >\n  >>", {{"p", ">\n>"}}},
	{"... as last line without newline", ">\n  {{>p}}", "{}", ">\n  >\n  >", {{"p", ">\n>"}}},
	{"every line is indented", "\\\n \t{{>p}}\n/\n", "{'x':'<->'}",
		"\\\n \t|\n \t<->\n \t|\n/\n", {{"p", "|\n{{x}}\n|\n"}}},
	{"... empty ones too", " {{>p}}\n", "{}", " a\n \n b\n", {{"p", "a\n\nb\n"}}},
	{"... also with CRLF", " {{>p}}\r\n", "{}", " a\r\n b\r\n", {{"p", "a\r\nb\r\n"}}},
	{"... not those that go", "  {{>p}}\n", "{'t':true,'f':false}", "  a\n  c\n",
		{{"p", "{{! x }}\n{{#t}}\na\n{{/t}}\n{{#f}}\nb\n{{/f}}\nc\n"}}},
	{"... not inside a comment", "  {{>p}}\n", "{}", "  ab\n", {{"p", "a{{!\n}}b\n"}}},
	{"... each time a section renders", "  {{>p}}\n", "{'l':[1,2]}", "  1\n  2\n  end\n",
		{{"p", "{{#l}}\n{{.}}\n{{/l}}\nend\n"}}},
	{"... where a line opens with a hidden section", "  {{>p}}\n", "{'f':false}", "  y\n",
		{{"p", "{{#f}}x{{/f}}y\n"}}},
	{"... where a section ends in the middle of a line", "  {{>p}}\n", "{'l':[1,2]}",
		"  x\n  x\n  y\n", {{"p", "{{#l}}x\n{{/l}}y\n"}}},
	{"indentations add up", " {{>p}}\n", "{}", " p\n   q\n   q\n p\n",
		{{"p", "p\n  {{>q}}\np\n"}, {"q", "q\nq\n"}}},
	{"... through one at the margin", "  {{>p}}\n", "{}", "  q\n",
		{{"p", "{{>q}}\n"}, {"q", "q\n"}}},
	{"... but not through one within a line", "  {{>p}}\n", "{}", "  p:q\nq\n r\n  p\n",
		{{"p", "p:{{>q}}\np\n"}, {"q", "q\nq\n {{>r}}"}, {"r", "r"}}},
	{"a section around a partial", "{{#f}}\n{{>p}}\n{{/f}}\n", "{'f':false}", "",
		{{"p", "{{nope}}"}}},
};

static const struct refusal syntax[] = {
	{"three braces", "a\n{{{x}}}", NULL, ERROR_INVALID, "main.mustache:2",
		"\"{{{\" is not offered: {{name}} already writes a value as it is", {{0}}},
	{"delimiters", "{{=<% %>=}}", NULL, ERROR_INVALID, "main.mustache:1",
		"the delimiters cannot be changed", {{0}}},
	{"an open tag", "\n\n  {{x", NULL, ERROR_INVALID, "main.mustache:3",
		"the tag is not closed", {{0}}},
	{"an open tag that finds another's end", "{{x\n{{y}}", NULL, ERROR_INVALID,
		"main.mustache:1", "the tag is not closed", {{0}}},
	{"one closing brace", "{{x}", NULL, ERROR_INVALID, "main.mustache:1",
		"the tag is not closed", {{0}}},
	{"braces at the end", "x{{", NULL, ERROR_INVALID, "main.mustache:1",
		"the tag is not closed", {{0}}},
	{"an open comment", "a\n{{! \n\n", NULL, ERROR_INVALID, "main.mustache:2",
		"the tag is not closed", {{0}}},
	{"an empty tag", "{{}}", NULL, ERROR_INVALID, "main.mustache:1", "\"\" is not a name",
		{{0}}},
	{"a blank tag", "{{#  }}", NULL, ERROR_INVALID, "main.mustache:1", "\"  \" is not a name",
		{{0}}},
	{"an empty part at the end", "{{a.}}", NULL, ERROR_INVALID, "main.mustache:1",
		"\"a.\" is not a name", {{0}}},
	{"... at the start", "{{.a}}", NULL, ERROR_INVALID, "main.mustache:1",
		"\".a\" is not a name", {{0}}},
	{"... inside", "{{#a..b}}", NULL, ERROR_INVALID, "main.mustache:1",
		"\"a..b\" is not a name", {{0}}},
	{"blanks in a name", "{{a b}}", NULL, ERROR_INVALID, "main.mustache:1",
		"\"a b\" is not a name", {{0}}},
	{"a lambda or another tag", "{{$a}}", NULL, ERROR_INVALID, "main.mustache:1",
		"\"$a\" is not a name", {{0}}},
	{"a blank before the sigil", "{{ #a}}", NULL, ERROR_INVALID, "main.mustache:1",
		"\" #a\" is not a name", {{0}}},
	{"a long bad name is cut", "{{aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa}}", NULL,
		ERROR_INVALID, "main.mustache:1",
		"\"aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa \" is not a name", {{0}}},
	{"nothing to close", "a\nb {{/x}}", NULL, ERROR_INVALID, "main.mustache:2",
		"{{/x}} closes nothing", {{0}}},
	{"the wrong section closed", "{{#a}}\n{{^b}}\n{{/a}}\n{{/b}}", NULL, ERROR_INVALID,
		"main.mustache:3", "{{/a}} cannot close the section \"b\" of line 2", {{0}}},
	{"an open section", "{{#a}}\n{{#b}}\n{{/b}}\n", NULL, ERROR_INVALID, "main.mustache:1",
		"the section \"a\" is not closed", {{0}}},
	{"sections do not cross files", "{{#a}}{{>p}}", NULL, ERROR_INVALID, "p.mustache:1",
		"{{/a}} closes nothing", {{"p", "{{/a}}"}}},
	{"lines are counted through comments and CRLF", "{{!\n\n}}\r\n\r\n{{>p}}\n{{/x}}", NULL,
		ERROR_INVALID, "main.mustache:6", "{{/x}} closes nothing", {{"p", "\n\n"}}},
	{"no such partial", "\n{{>p}}", NULL, ERROR_NOT_FOUND, "main.mustache:2",
		"there is no file \"p.mustache\"", {{0}}},
	{"... named by a partial", "{{>p}}", NULL, ERROR_NOT_FOUND, "p.mustache:1",
		"there is no file \"q.mustache\"", {{"p", "{{>q}}"}}},
	{"no way out of the folder", "{{>../p}}", NULL, ERROR_INVALID, "main.mustache:1",
		"\"../p\" is not a name", {{0}}},
	{"... nor to the folder itself", "{{>.}}", NULL, ERROR_INVALID, "main.mustache:1",
		"\".\" is not a name", {{0}}},
	{"a partial that includes itself", "{{>p}}", NULL, ERROR_INVALID, "p.mustache:2",
		"the partial \"p\" includes itself", {{"p", "\n{{>p}}"}}},
	{"... through another", "{{>p}}", NULL, ERROR_INVALID, "q.mustache:1",
		"the partial \"p\" includes itself",
		{{"p", "{{>q}}"}, {"q", "{{#never}}{{>p}}{{/never}}"}}},
	{"... through the template", "{{>p}}", NULL, ERROR_INVALID, "p.mustache:1",
		"the partial \"main\" includes itself", {{"p", "{{>main}}"}}},
};

static const struct refusal views[] = {
	{"an unknown name", "a\nb {{x}}", "{'y':1}", ERROR_INTERNAL, "main.mustache:2",
		"the view has no \"x\"", {{0}}},
	{"... in a section", "{{#x}}{{/x}}", "{}", ERROR_INTERNAL, "main.mustache:1",
		"the view has no \"x\"", {{0}}},
	{"... in an inverted section", "{{^x}}{{/x}}", "{}", ERROR_INTERNAL, "main.mustache:1",
		"the view has no \"x\"", {{0}}},
	{"... in a partial", "\n{{>p}}", "{}", ERROR_INTERNAL, "p.mustache:3",
		"the view has no \"x\"", {{"p", "\n\n{{x}}"}}},
	{"... after its section", "{{#a}}{{x}}{{/a}}\n{{x}}", "{'a':{'x':1}}", ERROR_INTERNAL,
		"main.mustache:2", "the view has no \"x\"", {{0}}},
	{"... among strings", "{{#l}}{{x}}{{/l}}", "{'l':['x']}", ERROR_INTERNAL, "main.mustache:1",
		"the view has no \"x\"", {{0}}},
	{"a part is missing", "{{a.b.c}}", "{'a':{'b':{}}}", ERROR_INTERNAL, "main.mustache:1",
		"the view has no \"a.b.c\": \"c\" is missing", {{0}}},
	{"a part of a string", "{{a.b.c}}", "{'a':{'b':'x'}}", ERROR_INTERNAL, "main.mustache:1",
		"the view has no \"a.b.c\": \"c\" is missing", {{0}}},
	{"a part of a null", "{{#a.b}}{{/a.b}}", "{'a':null}", ERROR_INTERNAL, "main.mustache:1",
		"the view has no \"a.b\": \"b\" is missing", {{0}}},
	{"the innermost object decides", "{{#o}}{{a.b}}{{/o}}", "{'a':{'b':1},'o':{'a':{}}}",
		ERROR_INTERNAL, "main.mustache:1", "the view has no \"a.b\": \"b\" is missing",
		{{0}}},
	{"a newline", "\n{{x}}", "{'x':'a\\nb'}", ERROR_INVALID, "main.mustache:2",
		"the value of \"x\" has a control character", {{0}}},
	{"a carriage return", "{{x}}", "{'x':'\\r'}", ERROR_INVALID, "main.mustache:1",
		"the value of \"x\" has a control character", {{0}}},
	{"a tab", "{{&x}}", "{'x':'a\\tb'}", ERROR_INVALID, "main.mustache:1",
		"the value of \"x\" has a control character", {{0}}},
	{"an escape", "{{x.y}}", "{'x':{'y':'\\u001b[0m'}}", ERROR_INVALID, "main.mustache:1",
		"the value of \"x.y\" has a control character", {{0}}},
	{"a DEL", "{{x}}", "{'x':'\\u007f'}", ERROR_INVALID, "main.mustache:1",
		"the value of \"x\" has a control character", {{0}}},
	{"a NUL", "{{x}}", "{'x':'a\\u0000b'}", ERROR_INVALID, "main.mustache:1",
		"the value of \"x\" has a control character", {{0}}},
	{"a C1 control", "{{#l}}{{.}}{{/l}}", "{'l':['\\u0085']}", ERROR_INVALID, "main.mustache:1",
		"the value of \".\" has a control character", {{0}}},
	{"a true cannot be written", "{{x}}", "{'x':true}", ERROR_INTERNAL, "main.mustache:1",
		"\"x\" is true, which cannot be written", {{0}}},
	{"nor can an object", "{{x}}", "{'x':{}}", ERROR_INTERNAL, "main.mustache:1",
		"\"x\" is an object, which cannot be written", {{0}}},
	{"nor the view", "{{.}}", "{}", ERROR_INTERNAL, "main.mustache:1",
		"\".\" is an object, which cannot be written", {{0}}},
	{"nor an array", "{{x}}", "{'x':[1]}", ERROR_INTERNAL, "main.mustache:1",
		"\"x\" is an array, which cannot be written", {{0}}},
	{"nor a real number", "{{x}}", "{'x':1.5}", ERROR_INTERNAL, "main.mustache:1",
		"\"x\" is a real number, which cannot be written", {{0}}},
	{"a real number is no section", "{{^x}}{{/x}}", "{'x':0.0}", ERROR_INTERNAL,
		"main.mustache:1", "\"x\" is a real number, which cannot be a section", {{0}}},
	{"the view is an object", "x", "[]", ERROR_INTERNAL, "main.mustache",
		"the view is not an object", {{0}}},
};

static void folder_clear(const struct folder *folder, const struct file *files, size_t n_files)
{
	char file[64];

	for (size_t i = 0; i < n_files && files[i].name; i++) {
		snprintf(file, sizeof(file), "%s.mustache", files[i].name);
		assert_int_equal(unlinkat(folder->fd, file, 0), 0);
	}
}

static void check_renderings(const struct rendering *rows, size_t n_rows)
{
	struct folder folder;

	folder_init(&folder);
	for (size_t i = 0; i < n_rows; i++) {
		const struct rendering *row = &rows[i];
		_cleanup_template_ struct template *template = NULL;
		_cleanup_error_ struct error err = ERROR_INIT;
		_cleanup_free_ char *text = NULL;
		json_auto_t *view = json_of(row->view);
		size_t length = 0;

		folder_fill(&folder, row->partials, ELEMENTSOF(row->partials));
		if (template_compile("main", row->template, folder.path, &template, &err) < 0 ||
			template_render(template, view, &text, &length, &err) < 0)
			fail_msg("%s: %s: %s", row->rule, err.pointer, err.message);
		if (!streq(text, row->expected))
			fail_msg("%s: expected \"%s\", got \"%s\"", row->rule, row->expected, text);
		assert_int_equal(length, strlen(text));
		assert_null(err.message);
		folder_clear(&folder, row->partials, ELEMENTSOF(row->partials));
	}
	folder_done(&folder);
}

static void check_refusals(const struct refusal *rows, size_t n_rows)
{
	struct folder folder;

	folder_init(&folder);
	for (size_t i = 0; i < n_rows; i++) {
		const struct refusal *row = &rows[i];
		_cleanup_template_ struct template *template = NULL;
		_cleanup_error_ struct error err = ERROR_INIT;
		char *text = NULL;
		size_t length = 4711;
		int r;

		folder_fill(&folder, row->partials, ELEMENTSOF(row->partials));
		r = template_compile("main", row->template, folder.path, &template, &err);
		if (row->view) {
			json_auto_t *view = json_of(row->view);

			if (r < 0)
				fail_msg("%s: %s: %s", row->rule, err.pointer, err.message);
			r = template_render(template, view, &text, &length, &err);
		} else {
			assert_null(template);
		}
		if (r != error_code_to_errno(row->code) || err.code != row->code)
			fail_msg("%s: returned %d, code %d: %s", row->rule, r, (int)err.code,
				error_message(&err));
		assert_string_equal(err.message, row->message);
		assert_string_equal(err.pointer, row->pointer);
		assert_null(text);
		assert_int_equal(length, 4711);
		folder_clear(&folder, row->partials, ELEMENTSOF(row->partials));
	}
	folder_done(&folder);
}

static void test_interpolation(void **state)
{
	(void)state;
	check_renderings(interpolation, ELEMENTSOF(interpolation));
}

static void test_sections(void **state)
{
	(void)state;
	check_renderings(sections, ELEMENTSOF(sections));
}

static void test_inverted(void **state)
{
	(void)state;
	check_renderings(inverted, ELEMENTSOF(inverted));
}

static void test_comments(void **state)
{
	(void)state;
	check_renderings(comments, ELEMENTSOF(comments));
}

static void test_partials(void **state)
{
	(void)state;
	check_renderings(partials, ELEMENTSOF(partials));
}

static void test_syntax_errors(void **state)
{
	(void)state;
	check_refusals(syntax, ELEMENTSOF(syntax));
}

static void test_view_errors(void **state)
{
	(void)state;
	check_refusals(views, ELEMENTSOF(views));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interpolation),
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_inverted),
		cmocka_unit_test(test_comments),
		cmocka_unit_test(test_partials),
		cmocka_unit_test(test_syntax_errors),
		cmocka_unit_test(test_view_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
