// Pieces of SQL (see sql_text.hpp). PostgreSQL's own parser decides what each of them is.
#include "gateway/client_api/sql_text.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/varlena.h"
}

namespace dbnet::gateway {
namespace {

// A syntax error is one in this text, not in the statement by which it came.
extern "C" void dbnet_piece_of_sql(void *text) {
    if (const int position = geterrposition(); position > 0) {
        errposition(0);
        internalerrposition(position);
        internalerrquery(static_cast<const char *>(text));
    }
}

List *parse(const std::string &text, RawParseMode mode) {
    return pg::call([&] {
        ErrorContextCallback context{error_context_stack, dbnet_piece_of_sql, const_cast<char *>(text.c_str())};
        error_context_stack = &context;
        List *parsed = raw_parser(text.c_str(), mode);
        error_context_stack = context.previous;
        return parsed;
    });
}

// PL/pgSQL's expressions may go on with FROM and so forth, as a query does.
bool is_plain_expression(const List *parsed) {
    if (list_length(parsed) != 1)
        return false;
    const auto *statement = reinterpret_cast<const RawStmt *>(linitial(parsed))->stmt;
    if (!IsA(statement, SelectStmt))
        return false;
    const auto &query = *reinterpret_cast<const SelectStmt *>(statement);
    return list_length(query.targetList) == 1 &&
           reinterpret_cast<const ResTarget *>(linitial(query.targetList))->name == nullptr &&
           query.fromClause == NIL && query.whereClause == nullptr && query.groupClause == NIL &&
           query.havingClause == nullptr && query.windowClause == NIL && query.sortClause == NIL &&
           query.limitCount == nullptr && query.limitOffset == nullptr && query.lockingClause == NIL &&
           query.distinctClause == NIL && query.intoClause == nullptr && query.op == SETOP_NONE;
}

} // namespace

std::string qualified_name(const std::string &text) {
    return std::string(pg::call([&]() -> const char * {
        return NameListToQuotedString(textToQualifiedNameList(cstring_to_text(text.c_str())));
    }));
}

std::string quoted(const std::string &name) {
    if (name.empty())
        throw pg::error(ERRCODE_INVALID_NAME, "a name must not be empty");
    return std::string(pg::call([&]() -> const char * { return quote_identifier(name.c_str()); }));
}

std::string literal(const std::string &text) {
    return std::string(pg::call([&]() -> const char * { return quote_literal_cstr(text.c_str()); }));
}

// The line ends before the parenthesis: the text may end with a comment.
std::string expression(const std::string &text) {
    const List *parsed = parse(text, RAW_PARSE_PLPGSQL_EXPR);
    if (!is_plain_expression(parsed))
        throw pg::error(ERRCODE_SYNTAX_ERROR, "\"" + text + "\" is not one expression");
    return "(" + text + "\n)";
}

std::string type_name(const std::string &text) {
    parse(text, RAW_PARSE_TYPE_NAME);
    return text + "\n";
}

const char *command_of(const std::string &statement) {
    const List *parsed = parse(statement, RAW_PARSE_DEFAULT);
    if (parsed == NIL)
        throw pg::error(ERRCODE_SYNTAX_ERROR, "the statement is empty");
    if (list_length(parsed) > 1)
        throw pg::error(ERRCODE_SYNTAX_ERROR, "this is more than one statement")
            .hint("dbnet.wrap_transaction() runs several, one element of \"operations\" each.");
    return pg::call([&] { return CreateCommandName(reinterpret_cast<Node *>(linitial(parsed))); });
}

} // namespace dbnet::gateway
