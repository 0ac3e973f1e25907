// Reading and writing DBNet's tables from a user's backend, whoever the user is: SQL as the bootstrap superuser. It
// runs under the user's search_path, so every name and operator in it is qualified, and it calls no code of users'.
#pragma once

#include "pg/spi.hpp"

extern "C" {
#include "catalog/pg_authid.h"
}

namespace dbnet::pg {

// Inside the running transaction, with SPI connected. To be called from C++ frames; throws what f throws.
template<class F> auto as_superuser(F &&f) -> std::invoke_result_t<F &> {
    Oid user = InvalidOid;
    int security_context = 0;
    GetUserIdAndSecContext(&user, &security_context);
    // An error aborts the (sub)transaction, which restores both.
    SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, security_context | SECURITY_LOCAL_USERID_CHANGE);
    auto result = in_spi(f);
    SetUserIdAndSecContext(user, security_context);
    return result;
}

} // namespace dbnet::pg
