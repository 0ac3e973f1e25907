// dbnet.cordon(), uncordon(), evict(), drain(), restart() and cancel_operation(). They check the caller's rights,
// change the row where a column holds what is asked for, and else record what is wanted in dbnet.operation; the mirror
// worker sees to it after the commit. Runs in backends.
#include "capture/capture.hpp"
#include "kubernetes/restart.hpp"
#include "mirror/decision/intent.hpp"
#include "mirror/decision/merge.hpp"
#include "mirror/functions/as_extension.hpp"
#include "mirror/functions/mirrored_rows.hpp"
#include "mirror/functions/sql_arguments.hpp"
#include "mirror/store/object_store.hpp"

#include <initializer_list>

extern "C" {
#include "datatype/timestamp.h"
#include "utils/timestamp.h"
}

namespace dbnet::mirror {
namespace {

const pg::Statement may_delete{"SELECT has_table_privilege($1, 'DELETE')"};
const pg::Statement insert_operation{
    "INSERT INTO dbnet.operation (server, relation, namespace, name, uid, operation, arguments, requested_by)"
    " VALUES ($1::name, $2, $3, $4, $5, $6, $7::jsonb, $8::name) RETURNING id"};
const pg::Statement find_operation{
    "SELECT relation::oid, requested_by, pg_has_role($2, 'dbnet_operator', 'USAGE') OR EXISTS (SELECT FROM pg_roles AS "
    "r"
    " WHERE r.rolname = requested_by AND pg_has_role($2, r.oid, 'USAGE')) FROM dbnet.operation WHERE id = $1"};
const pg::Statement cancel_operation{
    "UPDATE dbnet.operation SET state = 'cancelled', message = 'cancelled by ' || quote_ident($2), reason = NULL,"
    " next_attempt_at = NULL, finished_at = clock_timestamp() WHERE id = $1 AND finished_at IS NULL"};

// What is asked for, of which object.
struct OperationTarget {
    Mirror mirror;
    Key key;
    MirroredRow row;
    ObjectRecord object;
};

pg::error denied(const Mirror &mirror, const char *hint) {
    return pg::error(ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied for table " + mirror.qualified_name).hint(hint);
}

void check_kind(const Mirror &mirror, const char *what, const char *group, std::initializer_list<const char *> kinds) {
    std::string names;
    for (const char *kind : kinds) {
        if (mirror.resource.group == group && mirror.resource.kind == kind)
            return;
        names += (names.empty() ? "" : ", ") + std::string(kind);
    }
    throw pg::error(ERRCODE_WRONG_OBJECT_TYPE, mirror.qualified_name + " mirrors kind " + mirror.resource.kind +
                                                   ": dbnet." + what + "() is for " + names);
}

void check_manages(const Mirror &mirror) {
    if (!mirror.settings.manage)
        throw pg::error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                        mirror.qualified_name + " is in mode observe: nothing is written to its server")
            .hint("SELECT dbnet.alter_mirror('" + mirror.qualified_name + "', mode => 'manage'); lets it.");
}

// The object must be there, and DBNet may write to it.
OperationTarget target_of(Mirror &&mirror, const std::string &text) {
    check_manages(mirror);
    Key key = parse_key(mirror, text);
    std::optional<MirroredRow> row = find_row(mirror, key);
    if (!row)
        throw pg::error(ERRCODE_UNDEFINED_OBJECT, mirror.qualified_name + " has no row \"" + key.text() + "\"");
    StoredObject stored = as_extension([&] { return std::move(load_objects({{key}}, false).front()); });
    if (!stored.object || !stored.object->exists())
        throw pg::error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                        "there is no object of \"" + key.text() + "\" of " + mirror.qualified_name + " at the server")
            .hint("dbnet.object_status says how it stands.");
    return {std::move(mirror), std::move(key), std::move(*row), std::move(*stored.object)};
}

void check_update(const OperationTarget &target) {
    if (!may_update_some_column(target.mirror.relation))
        throw denied(target.mirror, "Who may UPDATE a column may ask for that.");
}

int64 ask(const OperationTarget &target, const char *operation, const Json &arguments) {
    const std::string caller = caller_name();
    const int64 id = as_extension([&] {
        return pg::execute(insert_operation, target.mirror.server, Oid{target.mirror.relation}, target.key.name_space,
                           target.key.name, target.object.uid, operation, arguments.dump(), caller)
            .integer(0, 0);
    });
    capture::record_request(target.mirror.relation, id);
    return id;
}

// UPDATE of one column of the row, as the caller and with all that goes for one. `old`: only a row that holds this.
// False: there was none.
bool update_row(const OperationTarget &target, const Column &column, const Json &value, const Json *old) {
    const Mirror &mirror = target.mirror;
    const std::string name = pg::quoted_name(column.name);
    const auto literal = [&](const char *argument) {
        return std::string("CAST(") + argument + " AS " + column.column_type + ")";
    };
    std::string sql = "UPDATE ONLY " + mirror.qualified_name + " SET " + name + " = " + literal("$1") + " WHERE " +
                      pg::quoted_name(mirror.name_column) + "::text = $2";
    if (!mirror.namespace_column.empty())
        sql += " AND " + pg::quoted_name(mirror.namespace_column) + "::text = $3";
    else
        sql += " AND $3 IS NOT NULL";
    sql += old ? " AND " + name + "::text::jsonb = $4::jsonb" : " AND $4 IS NULL";
    const auto text = [](const Json &one) { return one.dump(-1, ' ', false, Json::error_handler_t::replace); };
    const std::string wanted = text(value);
    const std::optional<std::string> before = old ? std::optional(text(*old)) : std::nullopt;
    const pg::Argument arguments[] = {wanted, target.key.name, target.key.name_space, before};
    return pg::execute_once(sql, arguments).affected() > 0;
}

const Column *settable(const Mirror &mirror, const std::string &path) {
    const Column *column = mirror.mapping.by_path(path);
    return column && column->role == Role::spec && column->subresource.empty() ? column : nullptr;
}

// The row says so where it can: there is one truth. False: no column does.
bool cordon_row(const OperationTarget &target, bool unschedulable) {
    const Column *column = settable(target.mirror, "spec.unschedulable");
    if (!column)
        return false;
    const auto value = target.row.row.find(column->name);
    const bool is_null = value == target.row.row.end() || value->is_null();
    const bool is_so = is_null ? !unschedulable : *value == unschedulable;
    if (!is_so)
        update_row(target, *column, unschedulable, nullptr);
    return true;
}

Datum request_cordon(FunctionCallInfo fcinfo, const char *operation, bool unschedulable) {
    const Oid relation = required_relation(fcinfo, 0, "relation");
    const std::string text = required(text_argument(fcinfo, 1), "key");
    std::optional<int64> id;
    pg::in_spi([&] {
        std::optional<OperationTarget> target;
        with_safe_path([&] {
            Mirror mirror = readable_mirror(relation);
            check_kind(mirror, operation, "", {"Node"});
            target = target_of(std::move(mirror), text);
        });
        if (cordon_row(*target, unschedulable))
            return;
        with_safe_path([&] {
            check_update(*target);
            id = ask(*target, operation, Json::object());
        });
    });
    if (!id)
        PG_RETURN_NULL();
    PG_RETURN_INT64(*id);
}

// Whole seconds; a part of one counts as one.
std::optional<int64> seconds_argument(FunctionCallInfo fcinfo, int number, const char *argument) {
    if (fcinfo->args[number].isnull)
        return std::nullopt;
    const Interval *interval = pg::call([&] { return DatumGetIntervalP(fcinfo->args[number].value); });
    const int64 days = int64{interval->month} * DAYS_PER_MONTH + interval->day;
    const int64 microseconds = days * USECS_PER_DAY + interval->time;
    if (microseconds < 0)
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, std::string("argument ") + argument + " is negative");
    return (microseconds + USECS_PER_SEC - 1) / USECS_PER_SEC;
}

void add_times(Json &arguments, FunctionCallInfo fcinfo, int first) {
    if (const auto seconds = seconds_argument(fcinfo, first, "grace_period"))
        arguments["grace_period"] = *seconds;
    if (const auto seconds = seconds_argument(fcinfo, first + 1, "timeout"))
        arguments["timeout"] = *seconds;
}

// The pods' mirror that the caller names, or else who may delete the node may have it emptied.
void check_pods(const OperationTarget &target, FunctionCallInfo fcinfo, Json &arguments) {
    if (fcinfo->args[2].isnull) {
        if (!pg::execute(may_delete, Oid{target.mirror.relation}).boolean(0, 0))
            throw denied(target.mirror, "Who may DELETE rows of it may drain; or name a mirror of its pods whose rows "
                                        "you may DELETE: pods => 'net.pods'.");
        return;
    }
    const Mirror pods = readable_mirror(fcinfo->args[2].value);
    check_kind(pods, "drain", "", {"Pod"});
    if (pods.server != target.mirror.server)
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, pods.qualified_name + " mirrors pods of server \"" +
                                                             pods.server + "\", and the node is one of \"" +
                                                             target.mirror.server + "\"");
    if (!pg::execute(may_delete, Oid{pods.relation}).boolean(0, 0))
        throw denied(pods, "Who may DELETE a pod's row may evict it.");
    // The pods of a node are of all namespaces and with any labels.
    const bool is_partial = !pods.name_space.empty() || !pods.label_selector.empty();
    if (is_partial && !pg::execute(may_delete, Oid{target.mirror.relation}).boolean(0, 0))
        throw denied(target.mirror, "The mirror of pods shows a part of them, and a drain evicts all of the node: name "
                                    "one without namespace and label_selector, or DELETE rows of nodes.");
    check_manages(pods);
    arguments["pods"] = pods.qualified_name;
}

// The column that holds the annotation, if DBNet owns it: what others own is patched in place, and owning all of a
// template for the sake of one annotation in it would be too much.
const Column *owned_template(const OperationTarget &target, const kubernetes::FieldPath &field) {
    std::set<std::string> owned = target.object.claimed;
    if (!is_import_under_way(target.mirror.mapping, target.object))
        owned.merge(
            claims(target.mirror.mapping, target.mirror.mapping.to_object_form(target.row.row), &target.object));
    const auto &columns = target.mirror.mapping.columns;
    const auto found = std::find_if(columns.begin(), columns.end(), [&](const Column &column) {
        return column.role == Role::spec && column.type == ValueType::json && column.field.contains(field) &&
               owned.contains(column.path);
    });
    return found == columns.end() ? nullptr : &*found;
}

bool restart_row(const OperationTarget &target) {
    const kubernetes::FieldPath field = kubernetes::restarted_at_field();
    const Column *column = owned_template(target, field);
    if (!column)
        return false;
    const auto held = target.row.row.find(column->name);
    const Json before = held == target.row.row.end() ? Json() : *held;
    Json document;
    kubernetes::set(document, column->field, before.is_null() ? Json::object() : before);
    kubernetes::set(document, field, kubernetes::restart_time(std::chrono::system_clock::now()));
    if (!update_row(target, *column, *kubernetes::get(document, column->field), before.is_null() ? nullptr : &before))
        throw pg::error(ERRCODE_T_R_SERIALIZATION_FAILURE,
                        "row \"" + target.key.text() + "\" of " + target.mirror.qualified_name + " is being changed")
            .hint("Ask again.");
    return true;
}

} // namespace

DBNET_FUNCTION(dbnet_cordon) {
    return request_cordon(fcinfo, "cordon", true);
}

DBNET_FUNCTION(dbnet_uncordon) {
    return request_cordon(fcinfo, "uncordon", false);
}

DBNET_FUNCTION(dbnet_evict) {
    const Oid relation = required_relation(fcinfo, 0, "relation");
    const std::string text = required(text_argument(fcinfo, 1), "key");
    Json arguments = Json::object();
    add_times(arguments, fcinfo, 2);
    int64 id = 0;
    pg::in_spi([&] {
        with_safe_path([&] {
            Mirror mirror = readable_mirror(relation);
            check_kind(mirror, "evict", "", {"Pod"});
            const OperationTarget target = target_of(std::move(mirror), text);
            if (!pg::execute(may_delete, relation).boolean(0, 0))
                throw denied(target.mirror, "Who may DELETE a pod's row may evict it.");
            id = ask(target, "evict", arguments);
        });
    });
    PG_RETURN_INT64(id);
}

DBNET_FUNCTION(dbnet_drain) {
    const Oid relation = required_relation(fcinfo, 0, "relation");
    const std::string text = required(text_argument(fcinfo, 1), "key");
    Json arguments = Json::object();
    add_times(arguments, fcinfo, 3);
    int number = 5;
    const auto take_flag = [&](const char *option) {
        const bool is_set = !fcinfo->args[number].isnull && DatumGetBool(fcinfo->args[number].value);
        if (is_set)
            arguments[option] = true;
        number++;
        return is_set;
    };
    for (const char *option : {"ignore_daemonsets", "delete_emptydir_data", "force", "disable_eviction"})
        take_flag(option);
    if (const std::string selector = text_argument(fcinfo, number++).value_or(""); !selector.empty())
        arguments["pod_selector"] = selector;
    const bool is_dry_run = take_flag("dry_run");
    int64 id = 0;
    pg::in_spi([&] {
        std::optional<OperationTarget> target;
        with_safe_path([&] {
            Mirror mirror = readable_mirror(relation);
            check_kind(mirror, "drain", "", {"Node"});
            target = target_of(std::move(mirror), text);
            check_pods(*target, fcinfo, arguments);
        });
        if (is_dry_run || !cordon_row(*target, true))
            with_safe_path([&] { check_update(*target); });
        with_safe_path([&] { id = ask(*target, "drain", arguments); });
    });
    PG_RETURN_INT64(id);
}

DBNET_FUNCTION(dbnet_restart) {
    const Oid relation = required_relation(fcinfo, 0, "relation");
    const std::string text = required(text_argument(fcinfo, 1), "key");
    std::optional<int64> id;
    pg::in_spi([&] {
        std::optional<OperationTarget> target;
        with_safe_path([&] {
            Mirror mirror = readable_mirror(relation);
            check_kind(mirror, "restart", "apps", {"Deployment", "StatefulSet", "DaemonSet"});
            target = target_of(std::move(mirror), text);
        });
        if (restart_row(*target))
            return;
        with_safe_path([&] {
            check_update(*target);
            id = ask(*target, "restart", Json::object());
        });
    });
    if (!id)
        PG_RETURN_NULL();
    PG_RETURN_INT64(*id);
}

DBNET_FUNCTION(dbnet_cancel_operation) {
    const int64 id = PG_GETARG_INT64(0);
    const Oid caller = GetUserId();
    const std::string name = caller_name();
    Oid relation = InvalidOid;
    const bool was_open = pg::in_spi([&] {
        return as_extension([&] {
            const pg::Result found = pg::execute(find_operation, id, caller);
            if (found.rows() == 0)
                throw pg::error(ERRCODE_UNDEFINED_OBJECT, "there is no operation " + std::to_string(id))
                    .hint("SELECT * FROM dbnet.operation_status;");
            if (!found.boolean(0, 2))
                throw pg::error(ERRCODE_INSUFFICIENT_PRIVILEGE, "operation " + std::to_string(id) +
                                                                    " was asked for by " +
                                                                    std::string(found.text(0, 1)))
                    .hint("That role and members of dbnet_operator may give it up.");
            relation = found.oid(0, 0);
            return pg::execute(cancel_operation, id, name).affected() > 0;
        });
    });
    if (was_open)
        capture::record_change(relation, 'O');
    PG_RETURN_BOOL(was_open);
}

} // namespace dbnet::mirror
