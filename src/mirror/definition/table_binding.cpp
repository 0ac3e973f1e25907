// The user's table under a mirror (see table_binding.hpp); backends.
#include "mirror/definition/table_binding.hpp"

#include "mirror/functions/as_extension.hpp"
#include "pg/spi.hpp"

#include <algorithm>

extern "C" {
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_trigger.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/varlena.h"
}

namespace dbnet::mirror {
namespace {

// All run with the extension's rights and search_path: operators of a user's schema play no part.
const pg::Statement describe{
    "SELECT class.relkind, class.relpersistence, class.relowner,"
    " EXISTS (SELECT FROM pg_inherits WHERE inhparent = class.oid), class.relnamespace::regnamespace,"
    " EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = class.oid AND deptype = 'e')"
    " FROM pg_class AS class WHERE class.oid = $1"};

// Domains are followed to their base type; NULL leaves the length modifier out.
const pg::Statement describe_columns{
    "WITH RECURSIVE base AS ("
    " SELECT attnum, type.oid, typbasetype, typcategory FROM pg_attribute JOIN pg_type AS type ON type.oid = atttypid"
    "  WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped"
    " UNION ALL"
    " SELECT attnum, type.oid, type.typbasetype, type.typcategory FROM base"
    "  JOIN pg_type AS type ON type.oid = base.typbasetype)"
    " SELECT attname, format_type(atttypid, atttypmod), format_type(base.oid, NULL), typcategory, attnotnull,"
    "  atthasdef OR attidentity <> '', attgenerated <> '' OR attidentity = 'a'"
    " FROM pg_attribute JOIN base USING (attnum) WHERE attrelid = $1 AND typbasetype = 0::oid ORDER BY attnum"};

const pg::Statement has_unique_key{"SELECT dbnet.has_unique_key($1, $2)"};

const pg::Statement find_triggers{
    "SELECT tgname FROM pg_trigger WHERE tgrelid = $1 AND tgname IN ('dbnet_capture', 'dbnet_capture_truncate')"
    " AND NOT tgisinternal"};

Oid resolve(std::string_view name) {
    const std::string terminated(name);
    return pg::call([&] {
        const RangeVar *range = makeRangeVarFromNameList(textToQualifiedNameList(cstring_to_text(terminated.c_str())));
        return RangeVarGetRelid(range, AccessShareLock, true);
    });
}

[[noreturn]] void refuse_kind(const std::string &name, const std::string &what, const std::string &hint) {
    throw pg::error(ERRCODE_WRONG_OBJECT_TYPE, name + " cannot be a mirror: it is " + what).hint(hint);
}

void check_kind(const std::string &name, const pg::Result &found) {
    const char kind = found.text(0, 0).front();
    const char persistence = found.text(0, 1).front();
    const std::string schema(found.text(0, 4));
    if (kind == RELKIND_PARTITIONED_TABLE)
        refuse_kind(name, "a partitioned table", "Mirror its partitions, one server each.");
    if (kind != RELKIND_RELATION)
        refuse_kind(name,
                    kind == RELKIND_FOREIGN_TABLE ? "a foreign table"
                    : kind == RELKIND_VIEW        ? "a view"
                                                  : "not a table",
                    "A mirror is an ordinary table.");
    if (persistence == RELPERSISTENCE_TEMP)
        refuse_kind(name, "temporary",
                    "What it holds is never in the WAL, where the mirror worker reads changes: use a permanent table.");
    if (persistence == RELPERSISTENCE_UNLOGGED)
        refuse_kind(name, "unlogged", "What it holds is lost in a crash: ALTER TABLE " + name + " SET LOGGED;");
    if (found.boolean(0, 3))
        refuse_kind(name, "the parent of other tables", "Mirror a table without children.");
    if (found.boolean(0, 5) || schema == "pg_catalog" || schema == "information_schema")
        refuse_kind(name, "a table of the system or of an extension", "Use a table of your own.");
}

std::string quoted_list(const std::vector<std::string> &names) {
    std::string list;
    for (const std::string &name : names)
        list += (list.empty() ? "" : ", ") + pg::quoted_name(name);
    return list;
}

// What ALTER TRIGGER … DEPENDS ON EXTENSION does, without its exclusive lock on the extension, which would stop every
// transaction of the worker until this one ends. Raises when the trigger came to be on another table of that name.
void depend_on_extension(Oid relation, const char *trigger_name) {
    pg::call([relation, trigger_name] {
        const Oid extension_oid = get_extension_oid("dbnet", false);
        LockDatabaseObject(ExtensionRelationId, extension_oid, 0, AccessShareLock);
        ObjectAddress trigger, extension;
        ObjectAddressSet(trigger, TriggerRelationId, get_trigger_oid(relation, trigger_name, false));
        ObjectAddressSet(extension, ExtensionRelationId, extension_oid);
        recordDependencyOn(&trigger, &extension, DEPENDENCY_AUTO_EXTENSION);
    });
}

std::string literal(std::string_view text) {
    const std::string terminated(text);
    std::string quoted;
    pg::call([&] { quoted = quote_literal_cstr(terminated.c_str()); });
    return quoted;
}

} // namespace

std::optional<Table> find_table_if_any(std::string_view name) {
    const Oid relation = resolve(name);
    return OidIsValid(relation) ? std::optional(find_table(relation)) : std::nullopt;
}

Table find_table(std::string_view name) {
    std::optional<Table> table = find_table_if_any(name);
    if (!table)
        throw pg::error(ERRCODE_UNDEFINED_TABLE, "table " + std::string(name) + " does not exist")
            .hint(
                "Create it with a key and a column per field that you want to see, for example CREATE TABLE " +
                std::string(name) +
                " (namespace text, name text, labels jsonb, PRIMARY KEY (namespace, name)); kinds outside namespaces "
                "have PRIMARY KEY (name). Or leave the argument columns out: then DBNet makes a table with all fields "
                "of the kind.");
    return std::move(*table);
}

Table find_table(Oid relation) {
    pg::call([&] { LockRelationOid(relation, AccessShareLock); });
    if (!pg::call([&] { return get_rel_name(relation) != nullptr; }))
        throw pg::error(ERRCODE_UNDEFINED_TABLE, "table with OID " + std::to_string(relation) + " does not exist");
    Table table;
    table.relation = relation;
    table.name = pg::qualified_name(relation);
    if (!pg::call([&] { return pg::compat::owns_relation(relation, GetUserId()); }))
        throw pg::error(ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of table " + table.name)
            .hint("A mirror acts with the rights of its table's owner.");
    as_extension([&] {
        const pg::Result found = pg::execute(describe, relation);
        check_kind(table.name, found);
        table.owner = found.oid(0, 2);
        const pg::Result columns = pg::execute(describe_columns, relation);
        for (size_t i = 0; i < columns.rows(); i++)
            table.columns.push_back({std::string(columns.text(i, 0)), std::string(columns.text(i, 1)),
                                     std::string(columns.text(i, 2)), columns.text(i, 3).front(), columns.boolean(i, 4),
                                     columns.boolean(i, 5), columns.boolean(i, 6)});
    });
    return table;
}

void check_unique_key(const Table &table, const std::vector<std::string> &key_columns) {
    const std::string list = quoted_list(key_columns);
    for (const TableColumn &column : table.columns)
        if (!column.not_null && std::find(key_columns.begin(), key_columns.end(), column.name) != key_columns.end())
            throw pg::error(ERRCODE_INVALID_COLUMN_REFERENCE,
                            "key column \"" + column.name + "\" of table " + table.name + " may be NULL")
                .hint("ALTER TABLE " + table.name + " ADD PRIMARY KEY (" + list + ");");
    if (!as_extension([&] { return pg::execute(has_unique_key, table.relation, key_columns).boolean(0, 0); }))
        throw pg::error(ERRCODE_INVALID_COLUMN_REFERENCE,
                        "table " + table.name + " has no unique key on exactly (" + list + ")")
            .detail(
                "A row stands for one object, so its key must be that of the object, not deferrable and not partial.")
            .hint("ALTER TABLE " + table.name + " ADD PRIMARY KEY (" + list + ");");
}

void attach_capture(const Table &table, const ColumnMap &map, std::string_view fixed_namespace) {
    std::vector<std::string> watched, status;
    std::string name_space, name;
    for (const Column &column : map.columns) {
        if (column.role == Role::key)
            (column.path == "metadata.name" ? name : name_space) = column.name;
        else
            (column.role == Role::status ? status : watched).push_back(column.name);
    }
    detach_capture(table);
    const auto create = [&](const char *trigger, const char *event, const std::string &function) {
        pg::execute_once(std::string("CREATE TRIGGER ") + trigger + " AFTER " + event + " ON " + table.name +
                         " FOR EACH " + function);
        pg::execute_once("ALTER TABLE " + table.name + " ENABLE ALWAYS TRIGGER " + trigger); // also when replicated
        depend_on_extension(table.relation, trigger);
    };
    create("dbnet_capture", "INSERT OR UPDATE OR DELETE",
           "ROW EXECUTE FUNCTION dbnet.capture(" + literal(name_space) + ", " + literal(name) + ", " +
               literal(quoted_list(watched)) + ", " + literal(quoted_list(status)) + ", " + literal(fixed_namespace) +
               ")");
    create("dbnet_capture_truncate", "TRUNCATE", "STATEMENT EXECUTE FUNCTION dbnet.capture_truncate()");
}

void detach_capture(const Table &table) {
    const pg::Result found = pg::execute(find_triggers, table.relation);
    for (size_t i = 0; i < found.rows(); i++)
        pg::execute_once("DROP TRIGGER " + std::string(found.text(i, 0)) + " ON " + table.name);
}

} // namespace dbnet::mirror
