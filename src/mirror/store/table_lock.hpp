// The last look at a mirror's table before it is read or written in its owner's name. Owner and name may have changed
// since the configuration was read (ALTER TABLE … OWNER TO, RENAME), and then the statement would run triggers of one
// role in the name of another, or meet a table that is no mirror. Mirror worker, inside a transaction.
#pragma once

#include "mirror/store/catalog.hpp"

#include <set>
#include <stdexcept>
#include <string>

namespace dbnet::mirror {

// The configuration has to be read again.
class ConfigurationChanged : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// Locks the table until the end of the transaction (for writing: ROW EXCLUSIVE, else ACCESS SHARE), so that owner and
// name stay what they are, then compares them with the mirror's. Throws ConfigurationChanged; pg_error when the lock
// cannot be had within lock_timeout.
void lock_table(const Mirror &mirror, bool for_writing);

// Of a table that is locked: the columns that take no NULL.
std::set<std::string> not_null_columns(const Mirror &mirror);

} // namespace dbnet::mirror
