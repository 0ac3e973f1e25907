// Switching between the caller's and the extension's rights (see as_extension.hpp); backends.
#include "mirror/functions/as_extension.hpp"

extern "C" {
#include "catalog/pg_authid.h"
#include "utils/guc.h"
}

namespace dbnet::mirror {

std::string caller_name() {
    return std::string(pg::call([]() -> const char * { return GetUserNameFromId(GetUserId(), false); }));
}

namespace internal {

int fix_search_path() {
    return pg::call([] {
        const int guc_level = NewGUCNestLevel();
        set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                          false);
        return guc_level;
    });
}

void restore_settings(int guc_level) {
    pg::call([&] { AtEOXact_GUC(false, guc_level); });
}

CallerIdentity become_extension() {
    CallerIdentity caller{};
    caller.guc_level = fix_search_path();
    return pg::call([&] {
        GetUserIdAndSecContext(&caller.user, &caller.security_context);
        SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, caller.security_context | SECURITY_LOCAL_USERID_CHANGE);
        return caller;
    });
}

void become_caller(const CallerIdentity &caller) {
    pg::call([&] {
        AtEOXact_GUC(false, caller.guc_level);
        SetUserIdAndSecContext(caller.user, caller.security_context);
    });
}

} // namespace internal

} // namespace dbnet::mirror
