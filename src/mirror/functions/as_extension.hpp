// Writing DBNet's own tables from a user's backend: the SQL functions check the caller's rights themselves and then
// work with the extension's. No code of a user runs inside. Runs in backends.
#pragma once

#include "pg/spi.hpp"

#include <string>
#include <type_traits>

namespace dbnet::mirror {

namespace internal {

struct CallerIdentity {
    Oid user;
    int security_context;
    int guc_level;
};
CallerIdentity become_extension();
void become_caller(const CallerIdentity &caller);
int fix_search_path();
void restore_settings(int guc_level);

} // namespace internal

std::string caller_name(); // of the effective role

// Runs f, which executes statements on DBNet's tables and catalogs, as superuser with search_path = pg_catalog,
// pg_temp. When f throws, the caller's identity comes back with the abort of the (sub)transaction, as for any failed
// function.
template<class F> auto as_extension(F &&f) -> std::invoke_result_t<F &> {
    const internal::CallerIdentity caller = internal::become_extension();
    if constexpr (std::is_void_v<std::invoke_result_t<F &>>) {
        f();
        internal::become_caller(caller);
    } else {
        auto result = f();
        internal::become_caller(caller);
        return result;
    }
}

// Runs f with the caller's rights and search_path = pg_catalog, pg_temp: DBNet's own statements mean the same whatever
// operators the caller's path has. When f throws, the settings come back with the abort.
template<class F> void with_safe_path(F &&f) {
    const int guc_level = internal::fix_search_path();
    f();
    internal::restore_settings(guc_level);
}

} // namespace dbnet::mirror
