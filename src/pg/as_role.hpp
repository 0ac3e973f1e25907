// Running a user's code (triggers, defaults, constraints of a mirrored table) as the owner of the table, in a worker
// that is a superuser. Worker processes only, inside in_transaction(), between statements (never inside a trigger).
//
// The recipe (design: "Writing as the table's owner"):
//   - user id = owner, SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION: SET ROLE, SET SESSION
//     AUTHORIZATION, temporary objects, LISTEN, cursors WITH HOLD, PREPARE are refused;
//   - an own GUC level: what the user's code sets, also with set_config(…, false), is undone at the end;
//   - search_path as a session of the owner has it (ALTER ROLE / DATABASE … SET search_path), so that triggers work
//     as in psql;
//   - row_security off: a read that policies would filter is an error instead of a silent gap;
//   - SET CONSTRAINTS ALL IMMEDIATE: deferrable triggers run at the end of their statement, as the owner. A trigger
//     that the user's code makes deferred again is refused by PostgreSQL in such an operation (42501). So none is left
//     for the commit, which the superuser does.
//   - planner settings as configured, not as the worker has them for its own statements (pg/index_plans.hpp), unless
//     nothing but our own statement runs: Plans::by_index.
// User id, security context and settings are as before on every path, errors included.
#pragma once

#include "pg/guard.hpp"

namespace dbnet::pg {

enum class Plans { as_configured, by_index };

namespace internal {

struct Identity {
    Oid user;
    int security_context;
    int guc_level; // 0: not begun
    Oid owner;     // within which it began; InvalidOid: none
};
void begin_as_owner(Oid owner, Plans plans, Identity &before);
void end_as_owner(const Identity &before);
void abandon_as_owner(const Identity &before) noexcept;

} // namespace internal

// Who acts: the role of the session (SET ROLE counts, SECURITY DEFINER does not), or, in as_owner(), that owner.
Oid acting_role() noexcept;

// Runs f as `owner`. f's statements must qualify every name. Throws what f throws.
template<class F> auto as_owner(Oid owner, F &&f, Plans plans = Plans::as_configured) -> std::invoke_result_t<F &> {
    internal::Identity before{};
    try {
        internal::begin_as_owner(owner, plans, before);
        if constexpr (std::is_void_v<std::invoke_result_t<F &>>) {
            f();
            internal::end_as_owner(before);
        } else {
            auto result = f();
            internal::end_as_owner(before);
            return result;
        }
    } catch (...) {
        internal::abandon_as_owner(before);
        throw;
    }
}

} // namespace dbnet::pg
