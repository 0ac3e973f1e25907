// Hooks on DDL (see lifecycle.hpp); run in users' backends, before and after the statement and at the transaction's
// end.
#include "pg/lifecycle.hpp"

#include "pg/shared_memory.hpp"

#include <csignal>

extern "C" {
#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "tcop/utility.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
}

namespace dbnet::pg {
namespace {

ProcessUtility_hook_type previous_process_utility = nullptr;
object_access_hook_type previous_object_access = nullptr;

// A worker ends within milliseconds of SIGTERM; after this time PostgreSQL's own check decides (an error, or FORCE).
constexpr int stop_limit_ms = 10000;

// What the running transaction owes the launcher and the worker at its end. Plain data.
struct Owed {
    static constexpr int hold_limit = 16; // more databases in one transaction: left to PostgreSQL's own check
    WorkerSlot *held[hold_limit];         // databases that this transaction keeps free of workers
    int held_count;
    bool extension_touched; // CREATE, ALTER or DROP EXTENSION (any) was run
    bool extension_exists;  // dbnet, at PRE_COMMIT
    bool databases_changed; // the list of databases, or what they allow
    bool servers_changed;   // servers, user mappings, foreign-data wrappers
    Oid resettled;          // a database whose settings of ours were changed
};
Owed owed{};

// ---- before the statement -------------------------------------------------------------------------------------------

// Under the lock.
void end_all(Shared &memory, Oid database) {
    for_each_slot(memory, database, [](const WorkerSlot &slot) {
        if (slot.pid != 0)
            kill(slot.pid, SIGTERM);
    });
}

bool has_process(Shared &memory, Oid database) {
    return with_shared_lock(memory, [&] {
        bool found = false;
        for_each_slot(memory, database, [&](const WorkerSlot &slot) { found |= slot.pid != 0; });
        return found;
    });
}

void stop_and_hold(Oid database) {
    Shared &memory = *shared();
    if (owed.held_count == Owed::hold_limit)
        return;
    WorkerSlot *slot = with_shared_lock(memory, [&] {
        WorkerSlot *found = find_or_take_slot(memory, database, WorkerKind::mirror);
        if (found) {
            ++found->holds;
            end_all(memory, database);
        }
        return found;
    });
    if (slot == nullptr)
        return;
    owed.held[owed.held_count++] = slot;
    const TimestampTz started = GetCurrentTimestamp();
    call([&] { ConditionVariablePrepareToSleep(&memory.changed); });
    while (has_process(memory, database) && !TimestampDifferenceExceeds(started, GetCurrentTimestamp(), stop_limit_ms))
        call([&] { ConditionVariableTimedSleep(&memory.changed, 1000, PG_WAIT_EXTENSION); });
    call([] { ConditionVariableCancelSleep(); });
}

// Only for who may do it: others get PostgreSQL's error, and the worker goes on.
void stop_and_hold(const char *database) {
    if (database == nullptr)
        return;
    const Oid oid = call([database] {
        const Oid found = get_database_oid(database, true);
        return OidIsValid(found) && compat::owns_database(found, GetUserId()) ? found : InvalidOid;
    });
    if (OidIsValid(oid))
        stop_and_hold(oid);
}

const DefElem *find_option(const List *options, const char *name) {
    const ListCell *cell;
    foreach (cell, options) {
        const auto *option = static_cast<const DefElem *>(lfirst(cell));
        if (strcmp(option->defname, name) == 0)
            return option;
    }
    return nullptr;
}

void before_statement(const Node *statement) {
    switch (nodeTag(statement)) {
    case T_DropdbStmt:
        stop_and_hold(reinterpret_cast<const DropdbStmt *>(statement)->dbname);
        break;
    case T_RenameStmt: {
        const auto *rename = reinterpret_cast<const RenameStmt *>(statement);
        if (rename->renameType == OBJECT_DATABASE)
            stop_and_hold(rename->subname);
        break;
    }
    case T_AlterDatabaseStmt: {
        const auto *alter = reinterpret_cast<const AlterDatabaseStmt *>(statement);
        if (find_option(alter->options, "tablespace"))
            stop_and_hold(alter->dbname);
        break;
    }
    case T_CreatedbStmt: {
        const DefElem *source = find_option(reinterpret_cast<const CreatedbStmt *>(statement)->options, "template");
        if (source && source->arg)
            stop_and_hold(call([source] { return defGetString(const_cast<DefElem *>(source)); }));
        break;
    }
    default:
        break;
    }
}

// ---- after the statement --------------------------------------------------------------------------------------------

// What a statement changes, decided before it runs: afterwards its parse tree may be gone.
struct Effect {
    bool databases = false, servers = false, prepared_commit = false;
    Oid resettled = InvalidOid;
};

bool concerns_servers(ObjectType type) {
    return type == OBJECT_FOREIGN_SERVER || type == OBJECT_FDW || type == OBJECT_USER_MAPPING;
}

Effect effect_of(const Node *statement) {
    switch (nodeTag(statement)) {
    case T_DropdbStmt:
    case T_CreatedbStmt:
    case T_AlterDatabaseStmt:
        return {.databases = true};
    case T_AlterFdwStmt:
    case T_CreateForeignServerStmt:
    case T_AlterForeignServerStmt:
    case T_CreateUserMappingStmt:
    case T_AlterUserMappingStmt:
    case T_DropUserMappingStmt:
    case T_DropOwnedStmt:
    case T_ReassignOwnedStmt:
        return {.servers = true};
    case T_AlterDatabaseSetStmt: {
        const auto *set = reinterpret_cast<const AlterDatabaseSetStmt *>(statement);
        const bool is_ours =
            set->setstmt->kind == VAR_RESET_ALL || pg_strncasecmp(set->setstmt->name, "dbnet.", 6) == 0;
        return {.resettled = is_ours ? call([&] { return get_database_oid(set->dbname, true); }) : InvalidOid};
    }
    case T_DropStmt:
        return {.servers = concerns_servers(reinterpret_cast<const DropStmt *>(statement)->removeType)};
    case T_RenameStmt:
        return {.servers = concerns_servers(reinterpret_cast<const RenameStmt *>(statement)->renameType)};
    case T_AlterOwnerStmt:
        return {.servers = concerns_servers(reinterpret_cast<const AlterOwnerStmt *>(statement)->objectType)};
    case T_GrantStmt:
        return {.servers = concerns_servers(reinterpret_cast<const GrantStmt *>(statement)->objtype)};
    case T_TransactionStmt:
        return {.servers = false,
                .prepared_commit =
                    reinterpret_cast<const TransactionStmt *>(statement)->kind == TRANS_STMT_COMMIT_PREPARED};
    default:
        return {};
    }
}

void after_statement(Effect effect) noexcept {
    owed.databases_changed |= effect.databases;
    owed.servers_changed |= effect.servers;
    if (OidIsValid(effect.resettled))
        owed.resettled = effect.resettled;
    if (effect.prepared_commit) {
        // It may have created or dropped the extension, changed servers, or written rows: all of it is looked at.
        owed.extension_touched = owed.servers_changed = true;
        publish_commit(MyDatabaseId, XactLastRecEnd);
    }
}

extern "C" void dbnet_process_utility(PlannedStmt *planned, const char *query, bool read_only_tree,
                                      ProcessUtilityContext context, ParamListInfo parameters,
                                      QueryEnvironment *environment, DestReceiver *destination,
                                      QueryCompletion *completion) {
    const Node *statement = planned->utilityStmt;
    Effect effect;
    enter([&] {
        effect = effect_of(statement);
        before_statement(statement);
    });
    // No guard: no C++ object is alive here, and the statement may end the transaction that a guard would restore.
    if (previous_process_utility)
        previous_process_utility(planned, query, read_only_tree, context, parameters, environment, destination,
                                 completion);
    else
        standard_ProcessUtility(planned, query, read_only_tree, context, parameters, environment, destination,
                                completion);
    after_statement(effect);
}

extern "C" void dbnet_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *argument) {
    if (previous_object_access)
        previous_object_access(access, class_id, object_id, sub_id, argument);
    if (class_id == ExtensionRelationId &&
        (access == OAT_POST_CREATE || access == OAT_POST_ALTER || access == OAT_DROP))
        owed.extension_touched = true; // which one, and whether it stays, is looked up once before the commit
}

// ---- at the end of the transaction ----------------------------------------------------------------------------------

void tell_launcher_about_extension(Shared &memory) {
    with_shared_lock(memory, [&] {
        WorkerSlot *slot = owed.extension_exists ? find_or_take_slot(memory, MyDatabaseId, WorkerKind::mirror)
                                                 : find_slot(MyDatabaseId, WorkerKind::mirror);
        if (slot == nullptr) {
            if (owed.extension_exists)
                pg_atomic_fetch_add_u64(&memory.overflow, 1);
            return;
        }
        slot->request = owed.extension_exists ? WorkerRequest::start : WorkerRequest::stop;
        if (!owed.extension_exists)
            end_all(memory, MyDatabaseId);
    });
    wake_worker(MyDatabaseId); // an idle or running one sees the new version
    for (const WorkerKind kind : companion_kinds) {
        if (WorkerSlot *slot = find_slot(MyDatabaseId, kind))
            pg_atomic_fetch_add_u64(&slot->configuration, 1);
        wake_worker(MyDatabaseId, kind);
    }
    wake_launcher();
}

void settle_debts(bool is_committed) {
    Shared &memory = *shared();
    if (owed.held_count > 0) {
        with_shared_lock(memory, [] {
            for (int i = 0; i < owed.held_count; ++i) {
                WorkerSlot &slot = *owed.held[i];
                if (--slot.holds == 0 && slot.starts == 0 && slot.request == WorkerRequest::none)
                    free_slot(slot); // taken for the hold alone
            }
        });
        owed.databases_changed = true;
    } else if (!is_committed) {
        owed.databases_changed = false;
    }
    if (is_committed && owed.extension_touched)
        tell_launcher_about_extension(memory);
    if (is_committed && owed.servers_changed) {
        if (WorkerSlot *slot = find_slot(MyDatabaseId, WorkerKind::mirror))
            pg_atomic_fetch_add_u64(&slot->configuration, 1);
        wake_worker(MyDatabaseId);
    }
    if (is_committed && OidIsValid(owed.resettled))
        restart_workers(owed.resettled);
    if (owed.databases_changed)
        request_rescan();
}

extern "C" void dbnet_lifecycle_at_end(XactEvent event, void *) {
    switch (event) {
    case XACT_EVENT_PRE_COMMIT:
        if (owed.extension_touched)
            enter([] { owed.extension_exists = OidIsValid(call([] { return get_extension_oid("dbnet", true); })); });
        break;
    case XACT_EVENT_COMMIT:
    case XACT_EVENT_ABORT:
    case XACT_EVENT_PREPARE:
        if (owed.held_count > 0 || owed.extension_touched || owed.databases_changed || owed.servers_changed ||
            OidIsValid(owed.resettled))
            enter_noexcept([event] { settle_debts(event == XACT_EVENT_COMMIT); });
        owed = Owed{};
        break;
    default:
        break;
    }
}

} // namespace

void install_lifecycle_hooks() {
    previous_process_utility = ProcessUtility_hook;
    ProcessUtility_hook = dbnet_process_utility;
    previous_object_access = object_access_hook;
    object_access_hook = dbnet_object_access;
    call([] { RegisterXactCallback(dbnet_lifecycle_at_end, nullptr); });
}

} // namespace dbnet::pg
