// Reading and writing the configuration of mirrors (dbnet.mirrored_relation, mirrored_column, arming) for the SQL
// functions. With the extension's rights, inside as_extension(). Runs in backends.
#pragma once

#include "kubernetes/api.hpp"
#include "mirror/definition/column_map.hpp"
#include "mirror/definition/table_binding.hpp"
#include "mirror/definition/table_plan.hpp"
#include "pg/guard.hpp"

#include <optional>
#include <string>
#include <vector>

namespace dbnet::mirror {

// A mirror's configuration as the SQL functions take and change it.
struct MirrorRecord {
    Oid relation = InvalidOid;
    std::string server;
    kubernetes::Resource resource;
    std::string name_space; // the one mirrored namespace; empty: all or none
    std::string label_selector;
    std::string mode, on_drift, initial;
    std::optional<std::string> on_external_delete;
    bool delete_foreign = false;
    std::string on_immutable;
    std::string secret_values; // see secret_values.hpp; empty: the kind holds none
    bool generated = false;    // DBNet made the table, or its columns are those of such a table
};

// nullopt: the table is no mirror.
std::optional<MirrorRecord> find_mirror(Oid relation);
// Throws pg::error 42704 with the hint to dbnet.mirror.
MirrorRecord required_mirror(Oid relation);
// The same for who is going to change it: others that want to wait until the end of the transaction.
MirrorRecord locked_mirror(Oid relation);

void insert_mirror(const MirrorRecord &record);
void update_mirror(const MirrorRecord &record);           // a new generation
void replace_columns(Oid relation, const ColumnMap &map); // and of tracked_relation those that concern it
// What replace_columns() has written, in the table's order; columns that the table has lost come first.
std::vector<MappedColumn> stored_columns(Oid relation);
// Paths of the plan of the schema that was read last; nullopt: none was ever read.
std::optional<std::vector<std::string>> known_fields(Oid relation);
void note_fields(Oid relation, const TablePlan &plan);
// Configuration, objects, tombstones, held changes, requests to release and state; what is on record stays.
void delete_mirror(Oid relation);

// An object may be created and deleted by one managing mirror only. Throws pg::error 42710 naming the other mirror.
void check_single_owner(const MirrorRecord &record);

// The first mirror arms the database; a database that was armed elsewhere is told so by a WARNING.
void arm_database();

} // namespace dbnet::mirror
