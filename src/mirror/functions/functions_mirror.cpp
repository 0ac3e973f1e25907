// dbnet.mirror(), dbnet.alter_mirror() and dbnet.unmirror(): which table mirrors what. They ask the API server about
// the kind, before the transaction writes anything, and change nothing there. Runs in backends.
#include "kubernetes/api.hpp"
#include "mirror/definition/mirror_store.hpp"
#include "mirror/definition/table_binding.hpp"
#include "mirror/definition/table_creation.hpp"
#include "mirror/definition/table_plan.hpp"
#include "mirror/definition/tracked_mirror.hpp"
#include "mirror/functions/as_extension.hpp"
#include "mirror/functions/mirrored_rows.hpp"
#include "mirror/functions/sql_arguments.hpp"
#include "mirror/server/client_session.hpp"
#include "mirror/server/offline.hpp"
#include "mirror/server/served_kinds.hpp"
#include "mirror/server/server_connection.hpp"
#include "mirror/values/secret_values.hpp"
#include "pg/shared_memory.hpp"

#include <algorithm>

extern "C" {
#include "commands/event_trigger.h"
#include "mb/pg_wchar.h"
#include "utils/lsyscache.h"
}

namespace dbnet::mirror {
namespace {

const pg::Statement has_usage{"SELECT has_server_privilege($1, $2, 'USAGE')"};

// Objects of the mirror with a claim on one of the paths: those paths cannot just be forgotten.
const pg::Statement count_claims{"SELECT count(*) FROM dbnet.object WHERE relation = $1 AND claimed && $2"};
const pg::Statement forget_paths{
    "UPDATE dbnet.object SET base = base - $2, applied = applied - $2, managers = managers - $2 WHERE relation = $1"};
const pg::Statement select_columns{
    "SELECT column_name, path, role, subresource FROM dbnet.mirrored_column WHERE relation = $1"};

// Rows that were there before their mirror, under initial 'pull': the server says what exists, so what it does not have
// is not created. An object that is listed later takes its row over.
const char *const absent_message = "the row was there before the mirror, and the server has no such object";

const pg::Statement dropped_mirrors{
    "SELECT relation::oid FROM dbnet.mirrored_relation JOIN pg_event_trigger_dropped_objects() AS dropped"
    " ON dropped.classid = 'pg_class'::regclass AND dropped.objid = relation AND dropped.objsubid = 0"};

int sqlstate_of(ColumnMapError::Kind kind) {
    switch (kind) {
    case ColumnMapError::no_such_column:
        return ERRCODE_UNDEFINED_COLUMN;
    case ColumnMapError::wrong_type:
        return ERRCODE_DATATYPE_MISMATCH;
    case ColumnMapError::bad_map:
    case ColumnMapError::no_such_path:
        break;
    }
    return ERRCODE_INVALID_PARAMETER_VALUE;
}

void check_words(const std::optional<std::string> &mode, const std::optional<std::string> &on_drift,
                 const std::optional<std::string> &on_external_delete, const std::optional<std::string> &on_immutable) {
    check_word(mode, "mode", {"observe", "manage"});
    check_word(on_drift, "on_drift", {"report", "enforce", "follow", "seed"});
    check_word(on_external_delete, "on_external_delete", {"drop_row", "flag", "recreate"});
    check_word(on_immutable, "on_immutable", {"refuse", "recreate"});
}

// The worker connects as the table's owner; the caller must be allowed to use the server as well.
void check_caller_usage(const std::string &server, Oid owner) {
    const Oid caller = GetUserId();
    if (caller == owner)
        return;
    const bool may = as_extension([&] { return pg::execute(has_usage, caller, server).boolean(0, 0); });
    if (!may)
        throw pg::error(ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied for foreign server " + server)
            .hint("GRANT USAGE ON FOREIGN SERVER " + pg::quoted_name(server) + " TO the role that makes the mirror.");
}

ColumnMap check_map(const std::string &map, const Table &table, const MirrorRecord &record,
                    const kubernetes::Schema *schema, const std::vector<std::string> *subresources) {
    try {
        return build_column_map({map, table.name, record.resource.kind, &table.columns, schema,
                                 record.resource.namespaced, record.name_space, subresources, record.secret_values});
    } catch (const ColumnMapError &failure) {
        throw pg::error(sqlstate_of(failure.kind()), failure.what()).hint(failure.hint());
    }
}

// What is recorded of the argument: nothing for a kind that holds no secrets.
std::string secret_values_of(const kubernetes::Resource &resource, const std::string &asked) {
    if (holds_secrets(resource.group, resource.kind))
        return asked;
    if (asked != digest_values)
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE,
                        "argument secret_values has no meaning for kind " + resource.kind)
            .hint("Its values are mirrored as they are. Leave the argument out.");
    return {};
}

// Asks for one object: shows a lack of rights, a bad selector or an absent namespace now, in the server's words.
void try_list(ClientSession &session, const MirrorRecord &record) {
    kubernetes::ListOptions options;
    options.label_selector = record.label_selector;
    options.limit = 1;
    options.metadata_only = true;
    session.body_of(kubernetes::list_request(record.resource, record.name_space, options));
}

void check_namespace(const MirrorRecord &record) {
    if (!record.resource.namespaced && !record.name_space.empty())
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "argument namespace is '" + record.name_space +
                                                             "', but kind " + record.resource.kind +
                                                             " does not live in namespaces")
            .hint("Leave the argument out.");
}

// What the API says is UTF-8, and rows hold it as it is.
void refuse_other_encoding() {
    if (GetDatabaseEncoding() != PG_UTF8 && GetDatabaseEncoding() != PG_SQL_ASCII)
        throw pg::error(ERRCODE_FEATURE_NOT_SUPPORTED,
                        std::string("mirrors need a database in UTF8, and this one is in ") + GetDatabaseEncodingName())
            .hint("CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0");
}

void refuse_second_mirror(const Table &table) {
    const bool exists =
        pg::in_spi([&] { return as_extension([&] { return find_mirror(table.relation).has_value(); }); });
    if (exists)
        throw pg::error(ERRCODE_DUPLICATE_OBJECT, "table " + table.name + " is a mirror already")
            .hint("Change it with dbnet.alter_mirror(), or remove it with dbnet.unmirror() first.");
}

void show_warnings(const ColumnMap &map) {
    for (const std::string &text : map.warnings)
        pg::warning(ERRCODE_WARNING, text);
}

std::vector<std::string> removed_paths(Oid relation, const ColumnMap &map) {
    const pg::Result before = pg::execute(select_columns, relation);
    std::vector<std::string> removed;
    for (size_t i = 0; i < before.rows(); i++) {
        const auto same = std::ranges::find(map.columns, before.text(i, 1), &Column::path);
        if (before.text(i, 2) == "key" && (same == map.columns.end() || same->name != before.text(i, 0)))
            throw pg::error(ERRCODE_FEATURE_NOT_SUPPORTED, "key column \"" + std::string(before.text(i, 0)) + "\" (" +
                                                               std::string(before.text(i, 1)) + ") cannot be changed")
                .hint("Remove the mirror with dbnet.unmirror() and make it anew.");
        // Sent another way, the field is left out where it was sent before.
        if (same == map.columns.end() || same->subresource != before.text(i, 3))
            removed.emplace_back(before.text(i, 1));
    }
    return removed;
}

// A claimed field that is no longer applied would be deleted or fall back to its default on the server.
void forget_removed(Oid relation, const std::vector<std::string> &removed) {
    if (removed.empty())
        return;
    if (const int64 claims = pg::execute(count_claims, relation, removed).integer(0, 0); claims > 0) {
        std::string list;
        for (const std::string &path : removed)
            list += (list.empty() ? "" : ", ") + path;
        throw pg::error(ERRCODE_OBJECT_IN_USE,
                        std::to_string(claims) +
                            " objects have claimed fields that the new column map leaves out, or sends another way")
            .detail("Left out are " + list + ".")
            .hint(
                "Give them up first with dbnet.release(), or keep the columns: fields that are no longer applied would "
                "be deleted on the server or fall back to their defaults.");
    }
    pg::execute(forget_paths, relation, removed);
}

// The table as it is, the place where it is going to be made, or an error.
struct Target {
    std::optional<Table> table;
    std::string new_name; // when there is no table
};

Target find_target(const std::string &name, bool has_columns) {
    return pg::in_spi([&] {
        Target target;
        if (has_columns)
            target.table = find_table(name); // says what to do when there is none
        else if (!(target.table = find_table_if_any(name)))
            target.new_name = name_for_new_table(name);
        return target;
    });
}

std::string table_comment(const MirrorRecord &record) {
    return "Mirror of " + record.resource.kind + " (" + record.resource.api_version() + ") of server " + record.server +
           ", made by DBNet; SELECT * FROM dbnet.describe(...) tells about its columns";
}

// A table that was made by DBNet once, or that calls its columns the same, needs no column map: its columns are bound
// by the names of a generated table, the others are local.
std::string columns_by_name(const TablePlan &plan, const Table &table) {
    TablePlan found;
    for (const PlannedColumn &column : plan.columns)
        if (std::ranges::find(table.columns, column.name, &TableColumn::name) != table.columns.end())
            found.columns.push_back(column);
    return column_map_of(found);
}

bool has_all_columns(const Table &table, const TablePlan &plan) {
    return std::ranges::all_of(plan.columns, [&](const PlannedColumn &column) {
        return std::ranges::find(table.columns, column.name, &TableColumn::name) != table.columns.end();
    });
}

void check_initial(const MirrorRecord &record, const Table &table) {
    if (record.mode != "manage" || record.initial != "compare")
        return;
    if (pg::execute_once("SELECT FROM ONLY " + table.name + " LIMIT 1").affected() > 0)
        throw pg::error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                        "table " + table.name + " has rows, and initial 'compare' changes neither rows nor objects")
            .hint("Say what the rows mean: initial => 'push' sends them, initial => 'pull' writes what the server has "
                  "over them. Or begin in mode 'observe' and look at dbnet.preview().");
}

void mark_rows_absent(const MirrorRecord &record, const Table &table, const ColumnMap &map) {
    const bool has_namespace = map.key_columns.size() == 2;
    const std::string name = pg::quoted_name(map.key_columns.back());
    const std::string name_space = has_namespace ? pg::quoted_name(map.key_columns.front()) + "::text" : "$2";
    const pg::Argument arguments[] = {record.relation, record.name_space, absent_message};
    pg::execute_once("INSERT INTO dbnet.object (relation, namespace, name, phase, message) SELECT $1, coalesce(" +
                         name_space + ", $2), " + name + "::text, 'absent', $3 FROM ONLY " + table.name,
                     arguments);
}

ColumnMap new_columns(const std::string &columns, const Table &table, const MirrorRecord &record) {
    if (pg::in_spi([&] { return as_extension([&] { return is_offline(record.server); }); }))
        return check_map(columns, table, record, nullptr, nullptr);
    ClientSession session = open_session(record.server, table.owner);
    const kubernetes::DiscoveredKind kind =
        find_kind(session, record.server, record.resource.api_version(), record.resource.kind);
    const kubernetes::Schema schema = find_schema(session, record.resource);
    return check_map(columns, table, record, &schema, &kind.subresources);
}

bool table_exists(Oid relation) {
    return pg::call([&] { return get_rel_name(relation) != nullptr; });
}

} // namespace

DBNET_FUNCTION(dbnet_mirror) {
    refuse_other_encoding();
    MirrorRecord record;
    record.server = required(name_argument(fcinfo, 0), "server");
    const std::string api_version = required(text_argument(fcinfo, 1), "api_version");
    const std::string kind = required(text_argument(fcinfo, 2), "kind");
    const std::string relation = required(text_argument(fcinfo, 3), "relation");
    const std::optional<std::string> columns = jsonb_argument(fcinfo, 4);
    record.name_space = text_argument(fcinfo, 5).value_or("");
    record.label_selector = text_argument(fcinfo, 6).value_or("");
    record.mode = required(text_argument(fcinfo, 7), "mode");
    record.initial = required(text_argument(fcinfo, 8), "initial");
    record.on_drift = required(text_argument(fcinfo, 9), "on_drift");
    record.on_external_delete = text_argument(fcinfo, 10);
    record.delete_foreign = !PG_ARGISNULL(11) && PG_GETARG_BOOL(11);
    const std::string secret_values = required(text_argument(fcinfo, 12), "secret_values");
    record.on_immutable = required(text_argument(fcinfo, 13), "on_immutable");
    check_words(record.mode, record.on_drift, record.on_external_delete, record.on_immutable);
    check_word(secret_values, "secret_values", {digest_values, plain_values});
    check_word(record.initial, "initial", {"compare", "pull", "push"});
    const bool offline = pg::in_spi([&] { return as_extension([&] { return is_offline(record.server); }); });
    if (!offline)
        pg::require_shared();

    if (offline && !columns)
        throw pg::error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                        offline_message(record.server) + ": nobody can be asked for the fields of kind " + kind)
            .hint(
                "Create the table and give argument columns, which says what column mirrors which field; a table that "
                "an online server generated can be copied with CREATE TABLE ... (LIKE ...).");
    Target target = find_target(relation, columns.has_value());
    Oid owner = GetUserId();
    if (target.table) {
        refuse_second_mirror(*target.table);
        owner = target.table->owner;
        pg::in_spi([&] { check_caller_usage(record.server, owner); });
    }

    ColumnMap map;
    std::optional<kubernetes::Schema> schema; // nullopt: offline
    std::optional<TablePlan> plan;            // of the table that DBNet would make
    if (offline) {
        record.resource = assumed_kind(api_version, kind, *columns, record.name_space);
        record.secret_values = secret_values_of(record.resource, secret_values);
        check_namespace(record);
        map = check_map(*columns, *target.table, record, nullptr, nullptr);
    } else {
        ClientSession session = open_session(record.server, owner);
        const kubernetes::DiscoveredKind found = find_kind(session, record.server, api_version, kind);
        record.resource = found.resource;
        record.secret_values = secret_values_of(record.resource, secret_values);
        check_namespace(record);
        schema = find_schema(session, record.resource);
        plan = plan_table({&*schema, record.resource.namespaced, !record.name_space.empty(), record.secret_values});
        record.generated = !target.table || (!columns && has_all_columns(*target.table, *plan));
        if (target.table)
            map = check_map(columns ? *columns : columns_by_name(*plan, *target.table), *target.table, record, &*schema,
                            &found.subresources);
        try_list(session, record);
    }

    pg::in_spi([&] {
        if (!target.table) {
            create_table(target.new_name, table_comment(record), *plan);
            target.table = find_table(target.new_name);
            map = check_map(column_map_of(*plan), *target.table, record, &*schema, nullptr);
        }
        const Table &table = *target.table;
        record.relation = table.relation;
        check_unique_key(table, map.key_columns);
        as_extension([&] {
            attach_capture(table, map,
                           record.name_space); // locks the table: of two who race, the second finds the first's mirror
            if (find_mirror(record.relation))
                throw pg::error(ERRCODE_DUPLICATE_OBJECT, "table " + table.name + " has become a mirror just now");
            if (!offline)
                check_initial(record, table);
            check_single_owner(record);
            insert_mirror(record);
            replace_columns(record.relation, map);
            if (plan)
                note_fields(record.relation, *plan);
            if (!offline && record.initial == "pull")
                mark_rows_absent(record, table, map);
            arm_database();
        });
        if (offline && record.initial != "push")
            with_safe_path([&] { assume_objects(readable_mirror(record.relation)); });
    });
    show_warnings(map);
    PG_RETURN_OID(record.relation);
}

DBNET_FUNCTION(dbnet_alter_mirror) {
    const Oid relation = required_relation(fcinfo, 0, "relation");
    const std::optional<std::string> mode = text_argument(fcinfo, 1), on_drift = text_argument(fcinfo, 2),
                                     on_external_delete = text_argument(fcinfo, 3), columns = jsonb_argument(fcinfo, 5),
                                     on_immutable = text_argument(fcinfo, 6);
    check_words(mode, on_drift, on_external_delete, on_immutable);
    const auto [table, before] = pg::in_spi([&] {
        return std::pair{find_table(relation), as_extension([&] { return locked_mirror(relation); })};
    });
    MirrorRecord record = before;
    record.mode = mode.value_or(before.mode);
    record.on_drift = on_drift.value_or(before.on_drift);
    record.on_immutable = on_immutable.value_or(before.on_immutable);
    if (on_external_delete)
        record.on_external_delete = on_external_delete;
    if (!PG_ARGISNULL(4))
        record.delete_foreign = PG_GETARG_BOOL(4);
    std::optional<ColumnMap> map;
    if (columns)
        map = new_columns(*columns, table, record);

    pg::in_spi([&] {
        as_extension([&] {
            check_single_owner(record);
            if (map) {
                const std::vector<std::string> removed = removed_paths(relation, *map);
                attach_capture(table, *map, record.name_space);
                forget_removed(relation, removed);
                replace_columns(relation, *map);
            }
            update_mirror(record);
        });
    });
    if (map)
        show_warnings(*map);
    PG_RETURN_VOID();
}

DBNET_FUNCTION(dbnet_unmirror) {
    const Oid relation = required_relation(fcinfo, 0, "relation");
    pg::in_spi([&] {
        // A table that was dropped while event triggers were off has no owner any more: what is left of its mirror is
        // anybody's to tidy up.
        if (table_exists(relation)) {
            const Table table = find_table(relation);
            as_extension([&] {
                required_mirror(relation);
                detach_capture(table);
            });
        }
        as_extension([&] {
            required_mirror(relation);
            delete_mirror(relation);
        });
    });
    PG_RETURN_VOID();
}

DBNET_FUNCTION(dbnet_forget_dropped) {
    if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
        throw pg::error(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED, "dbnet.forget_dropped() is an event trigger");
    pg::in_spi([] {
        as_extension([] {
            const pg::Result dropped = pg::execute(dropped_mirrors);
            for (size_t i = 0; i < dropped.rows(); i++)
                delete_mirror(dropped.oid(i, 0));
            forget_dropped_tables();
        });
    });
    return Datum{0};
}

} // namespace dbnet::mirror
