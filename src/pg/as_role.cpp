// Running as a table's owner (see as_role.hpp); worker processes.
#include "pg/as_role.hpp"

#include "pg/index_plans.hpp"
#include "pg/spi.hpp"

extern "C" {
#include "access/xact.h"
#include "commands/trigger.h"
#include "nodes/makefuncs.h"
#include "storage/lock.h"
#include "utils/guc.h"
}

namespace dbnet::pg {
namespace {

// search_path of a new session of role $1 in this database, as far as ALTER ROLE and ALTER DATABASE set it; the order
// of precedence is PostgreSQL's (role in database, role, database, all).
const Statement owner_search_path{
    "SELECT pg_catalog.substr(setting, 13)"
    " FROM pg_catalog.pg_db_role_setting AS stored, pg_catalog.unnest(stored.setconfig) AS setting"
    " WHERE stored.setrole OPERATOR(pg_catalog.=) ANY (ARRAY[$1, 0::pg_catalog.oid])"
    " AND stored.setdatabase OPERATOR(pg_catalog.=) ANY (ARRAY[$2, 0::pg_catalog.oid])"
    " AND pg_catalog.starts_with(setting, 'search_path=')"
    " ORDER BY stored.setrole OPERATOR(pg_catalog.<>) 0::pg_catalog.oid DESC,"
    " stored.setdatabase OPERATOR(pg_catalog.<>) 0::pg_catalog.oid DESC LIMIT 1"};

void set_saved(const char *name, const char *value) {
    set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

// ALL: also triggers that become queued later in this transaction.
void set_all_constraints_immediate() {
    ConstraintsSetStmt *statement = makeNode(ConstraintsSetStmt);
    statement->constraints = NIL;
    statement->deferred = false;
    AfterTriggerSetState(statement);
}

Oid owner_at_work = InvalidOid;

void restore(const internal::Identity &before) {
    owner_at_work = before.owner;
    AtEOXact_GUC(false, before.guc_level);
    SetUserIdAndSecContext(before.user, before.security_context);
}

} // namespace

namespace internal {

void begin_as_owner(Oid owner, Plans plans, Identity &before) {
    const Result found = execute(owner_search_path, owner, MyDatabaseId);
    const char *stored = found.rows() == 1 ? found.at(0, 0) : nullptr;
    call([&] {
        set_all_constraints_immediate(); // what is queued already is not the owner's: fires as who queued it
        GetUserIdAndSecContext(&before.user, &before.security_context);
        before.owner = owner_at_work;
        before.guc_level = NewGUCNestLevel();
        set_saved("search_path", stored ? stored : GetConfigOptionResetString("search_path"));
        set_saved("row_security", "off");
        if (plans == Plans::as_configured)
            plan_as_configured();
        SetUserIdAndSecContext(owner,
                               before.security_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
        owner_at_work = owner;
    });
}

void end_as_owner(const Identity &before) {
    call([&] {
        LockReleaseSession(USER_LOCKMETHOD); // advisory locks taken by the owner's code
        restore(before);
    });
}

void abandon_as_owner(const Identity &before) noexcept {
    if (before.guc_level > 0)
        call_noexcept([&] {
            LockReleaseSession(USER_LOCKMETHOD);
            restore(before);
        });
}

} // namespace internal

Oid acting_role() noexcept {
    return OidIsValid(owner_at_work) ? owner_at_work : GetOuterUserId();
}

} // namespace dbnet::pg
