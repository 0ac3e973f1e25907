// Pieces of SQL that clients hand in, made safe to be put together into a statement: a piece stays what it claims to
// be, whatever it holds. Statements run with the client's own rights; this is about never running another one than was
// meant. Backends.
#pragma once

#include "pg/guard.hpp"

namespace dbnet::gateway {

// A name as in 'net.nodes' or 'net."Load balancers"', quoted where it must be. Throws 42602 when it is none.
std::string qualified_name(const std::string &text);

// The name of one column, argument or constraint, taken letter by letter, quoted.
std::string quoted(const std::string &name);

std::string literal(const std::string &text);

// One expression ("cpu > 0.9"), in parentheses. Throws 42601 when it is none: also a list, a query or several
// statements.
std::string expression(const std::string &text);

// A type ("numeric(10,2)", "net.zone[]", "SETOF text"). Throws 42601 when it is none.
std::string type_name(const std::string &text);

// Throws 42601 unless the text is one statement. Its command tag.
const char *command_of(const std::string &statement);

} // namespace dbnet::gateway
