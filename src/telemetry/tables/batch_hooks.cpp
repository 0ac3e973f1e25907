// Triggers and hooks (see batch_hooks.hpp).
//
// A hook is a trigger function: it is called as a statement's trigger would be, with the rows of the batch in a
// transition table. So any language has it that has triggers, and the same function serves as a trigger on a table of
// one's own.
#include "telemetry/tables/batch_hooks.hpp"

#include "pg/as_role.hpp"
#include "pg/as_superuser.hpp"
#include "pg/deadline.hpp"
#include "settings.hpp"
#include "telemetry/tables/configuration.hpp"

#include <map>

extern "C" {
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
}

namespace dbnet::telemetry {
namespace {

constexpr int longest_insert = 10; // seconds; senders do not wait longer for an answer

// Others wait for the gateway. Whoever runs a statement has a limit of their own.
bool is_limited() {
    return MyBackendType == B_BG_WORKER && !get_timeout_active(STATEMENT_TIMEOUT);
}

// Name of the transition table.
const char *new_rows_name(std::string_view table) noexcept {
    return table == "logs"          ? "new_logs"
           : table == "spans"       ? "new_spans"
           : table == "span_events" ? "new_events"
           : table == "span_links"  ? "new_links"
                                    : "new_points";
}

std::string insert_text(const PartitionedTable &table) {
    std::string columns;
    for (const Column &column : table.form().columns)
        columns += (columns.empty() ? "" : ", ") + std::string(column.name);
    return std::string("INSERT INTO otel.") + table.form().name + " (" + columns + ") SELECT " + columns +
           " FROM new_rows";
}

void insert(const PartitionedTable &table) {
    const std::string text = insert_text(table);
    pg::in_spi([&] {
        pg::call([&] {
            EphemeralNamedRelationData rows{};
            rows.md.name = const_cast<char *>("new_rows");
            rows.md.reliddesc = InvalidOid;
            rows.md.tupdesc = table.columns();
            rows.md.enrtype = ENR_NAMED_TUPLESTORE;
            rows.md.enrtuples = static_cast<double>(tuplestore_tuple_count(table.left()));
            rows.reldata = table.left();
            if (SPI_register_relation(&rows) != SPI_OK_REL_REGISTER)
                throw pg::error(ERRCODE_INTERNAL_ERROR, "rows of a batch could not be handed to the executor");
            const int code = SPI_execute(text.c_str(), false, 0);
            if (code != SPI_OK_INSERT)
                throw pg::error(ERRCODE_INTERNAL_ERROR,
                                std::string("SPI_execute failed: ") + SPI_result_code_string(code));
        });
    });
}

// Who delivers has not asked for this code and may have more rights: it leaves no setting behind and nothing that would
// run as who delivers at the commit. In a background worker: pg::as_owner.
template<class F> void as_user(Oid user, F f) {
    if (MyBackendType == B_BG_WORKER) {
        pg::as_owner(user, f);
        return;
    }
    Oid before = InvalidOid;
    int security_context = 0;
    GetUserIdAndSecContext(&before, &security_context);
    const int settings = pg::call([] { return NewGUCNestLevel(); });
    SetUserIdAndSecContext(user, security_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
    f(); // an error aborts the subtransaction, which restores all of it
    pg::call([settings] { AtEOXact_GUC(false, settings); });
    SetUserIdAndSecContext(before, security_context);
}

Oid owner_of(Oid procedure) {
    const HeapTuple function = SearchSysCache1(PROCOID, ObjectIdGetDatum(procedure));
    if (!HeapTupleIsValid(function))
        throw pg::error(ERRCODE_UNDEFINED_FUNCTION, "a function of otel.on_batch is dropped just now");
    const Oid owner = reinterpret_cast<Form_pg_proc>(GETSTRUCT(function))->proowner;
    ReleaseSysCache(function);
    return owner;
}

// InvalidOid: there is none of this name.
Oid procedure_called(Datum name) {
    LOCAL_FCINFO(call, 1);
    InitFunctionCallInfoData(*call, nullptr, 1, InvalidOid, nullptr, nullptr);
    call->args[0] = {name, false};
    const Datum procedure = to_regprocedure(call);
    return call->isnull ? InvalidOid : DatumGetObjectId(procedure);
}

// The hook's function; it may have been made anew since the configuration was read.
Oid procedure_of(const BatchHook &hook) {
    if (pg::call([&] { return SearchSysCacheExists1(PROCOID, ObjectIdGetDatum(hook.procedure)); }))
        return hook.procedure;
    const Oid procedure = pg::as_superuser(
        [&] { return pg::call([&] { return procedure_called(CStringGetTextDatum(hook.name.c_str())); }); });
    if (!OidIsValid(procedure))
        throw pg::error(ERRCODE_UNDEFINED_FUNCTION, "function " + hook.name + " of otel.on_batch is not there")
            .hint("Make it, or SELECT otel.remove_on_batch('" + hook.name + "', '" + hook.table + "');");
    return procedure;
}

void call_hook(const BatchHook &hook, const PartitionedTable &table) {
    const Oid procedure = procedure_of(hook);
    const Oid owner = pg::call([&] { return owner_of(procedure); });
    if (owner != hook.owner) // whoever can create one of that name would read what is delivered
        throw pg::error(ERRCODE_INSUFFICIENT_PRIVILEGE, "function " + hook.name + " of otel.on_batch belongs to role " +
                                                            pg::call([&] { return GetUserNameFromId(owner, false); }) +
                                                            " now and is not called")
            .hint("SELECT otel.on_batch('" + hook.name + "', '" + hook.table +
                  "') with the rights of that role, or otel.remove_on_batch with those of the former one.");
    as_user(owner, [&] {
        pg::call([&] {
            tuplestore_rescan(table.kept());
            Trigger trigger{};
            trigger.tgoid = InvalidOid;
            trigger.tgname = const_cast<char *>("on_batch");
            trigger.tgfoid = procedure;
            trigger.tgtype = TRIGGER_TYPE_AFTER | TRIGGER_TYPE_INSERT;
            trigger.tgenabled = TRIGGER_FIRES_ALWAYS;
            trigger.tgnewtable = const_cast<char *>(new_rows_name(table.form().name));
            TriggerData data{};
            data.type = T_TriggerData;
            data.tg_event = TRIGGER_EVENT_INSERT | TRIGGER_EVENT_AFTER;
            data.tg_relation = table.relation();
            data.tg_trigger = &trigger;
            data.tg_newtable = table.kept();
            FmgrInfo function;
            fmgr_info(procedure, &function);
            LOCAL_FCINFO(call, 0);
            InitFunctionCallInfoData(*call, &function, 0, InvalidOid, reinterpret_cast<Node *>(&data), nullptr);
            FunctionCallInvoke(call);
        });
    });
}

// Once a minute and hook in the gateway, which may serve thousands of batches a second.
void warn(const BatchHook &hook, int sqlstate, const std::string &message, const std::string &hint) {
    static std::map<std::pair<std::string, std::string>, TimestampTz> told;
    if (MyBackendType == B_BG_WORKER) {
        TimestampTz &last = told[{hook.name, hook.table}];
        const TimestampTz now = GetCurrentTimestamp();
        if (last != 0 && now - last < USECS_PER_MINUTE)
            return;
        last = now;
    }
    pg::warning(sqlstate, message, hint);
}

} // namespace

void insert_left_rows(const PartitionedTable &table) {
    if (table.left() == nullptr)
        return;
    if (MyBackendType == B_BG_WORKER) {
        const Oid role = pg::call([] { return get_role_oid("dbnet_ingest", false); });
        const pg::Deadline deadline(is_limited() ? longest_insert * 1000 : 0);
        try {
            pg::as_owner(role, [&] { insert(table); });
        } catch (const pg::pg_error &error) {
            if (error.sqlstate() != ERRCODE_QUERY_CANCELED || !deadline.is_over())
                throw;
            throw pg::error(ERRCODE_QUERY_CANCELED, std::string("triggers on otel.") + table.form().name +
                                                        " took longer than " + std::to_string(longest_insert) + " s")
                .hint("Have them do less, or use otel.on_batch: its functions run once per batch.");
        }
    } else {
        insert(table);
    }
}

void call_batch_hooks(const PartitionedTable &table) {
    if (table.kept() == nullptr || pg::call([&] { return tuplestore_tuple_count(table.kept()); }) == 0)
        return;
    const std::vector<BatchHook> hooks = configuration().hooks; // a copy: a hook may change them
    for (const BatchHook &hook : hooks) {
        if (hook.table != table.form().name)
            continue;
        const bool has_limit = is_limited();
        try {
            pg::in_subtransaction([&] {
                const pg::Deadline deadline(has_limit ? settings::report_statement_timeout : 0);
                call_hook(hook, table);
            });
        } catch (const pg::error &error) {
            warn(hook, error.sqlstate(), error.what(), error.hint_text());
        } catch (const pg::pg_error &error) {
            if ((error.sqlstate() == ERRCODE_QUERY_CANCELED && !has_limit) ||
                error.sqlstate() == ERRCODE_ADMIN_SHUTDOWN)
                throw;
            warn(hook, error.sqlstate(), "function " + hook.name + " of otel.on_batch failed: " + error.message(),
                 "The telemetry was written; what the function did is undone.");
        }
    }
}

DBNET_FUNCTION(dbnet_change_batch_hook) {
    static const pg::Statement select_function{
        "SELECT identity, pg_catalog.pg_has_role($1, p.proowner, 'USAGE'), p.proowner FROM pg_catalog.pg_proc AS p,"
        " pg_catalog.pg_identify_object('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, 0)"
        " WHERE p.oid OPERATOR(pg_catalog.=) $2"};
    static const pg::Statement add{"INSERT INTO otel.batch_hook AS h (procedure, relation, owner) VALUES ($1, $2, $3)"
                                   " ON CONFLICT (procedure, relation) DO UPDATE SET owner = excluded.owner"
                                   " WHERE h.owner OPERATOR(pg_catalog.<>) excluded.owner"};
    static const pg::Statement select_former{"SELECT true FROM otel.batch_hook WHERE procedure OPERATOR(pg_catalog.=) "
                                             "$1 AND relation OPERATOR(pg_catalog.=) $2"
                                             " AND pg_catalog.pg_has_role($3, owner, 'USAGE')"};
    static const pg::Statement remove{"DELETE FROM otel.batch_hook WHERE procedure OPERATOR(pg_catalog.=) $1"
                                      " AND relation OPERATOR(pg_catalog.=) $2"};
    const auto text_argument = [&](int number) {
        return std::string(pg::call([&]() -> const char * { return text_to_cstring(PG_GETARG_TEXT_PP(number)); }));
    };
    const std::string given = text_argument(0), relation = text_argument(1);
    const Oid caller = GetUserId(), procedure = pg::call([&] { return procedure_called(PG_GETARG_DATUM(0)); });
    const bool is_wanted = PG_GETARG_BOOL(2);
    pg::as_superuser([&] {
        const pg::Result function = pg::execute(select_function, caller, procedure);
        if (function.rows() == 0 && is_wanted)
            throw pg::error(ERRCODE_UNDEFINED_FUNCTION, "function " + given + " is not there");
        const std::string name = function.rows() > 0 ? std::string(function.text(0, 0)) : given;
        const bool is_former_owners = !is_wanted && pg::execute(select_former, name, relation, caller).rows() > 0;
        if (function.rows() > 0 && !function.boolean(0, 1) && !is_former_owners)
            throw pg::error(ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of function " + given)
                .hint("It runs with its owner's rights.");
        if (is_wanted)
            pg::execute(add, name, relation, function.oid(0, 2));
        else if (pg::execute(remove, name, relation).affected() == 0)
            throw pg::error(ERRCODE_UNDEFINED_OBJECT, "function " + given + " is not called for batches of " + relation)
                .hint("TABLE otel.batch_hook; shows those that are.");
        return 0;
    });
    PG_RETURN_VOID();
}

} // namespace dbnet::telemetry
