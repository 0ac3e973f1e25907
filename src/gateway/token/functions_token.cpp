// dbnet.create_token(): makes the token, and leaves what is kept of it to dbnet.answer_create_token(), which also
// checks the caller's rights; the trigger by which workers hear of new tokens. Runs in backends.
#include "gateway/token/token.hpp"
#include "pg/shared_memory.hpp"

extern "C" {
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"
}

namespace dbnet::gateway {
namespace {

bool has_new_tokens = false; // the running transaction

// Before who made one hears of the commit; see KnownTokens. COMMIT PREPARED tells of itself (pg/lifecycle.cpp).
void at_end_of_transaction(XactEvent event, void *) noexcept {
    if (event == XACT_EVENT_COMMIT && has_new_tokens)
        for (const pg::WorkerKind kind : {pg::WorkerKind::gateway, pg::WorkerKind::api})
            if (pg::WorkerSlot *slot = pg::find_slot(MyDatabaseId, kind))
                pg_atomic_fetch_add_u64(&slot->configuration, 1);
    if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
        has_new_tokens = false;
}

} // namespace

DBNET_FUNCTION(dbnet_notify_tokens) {
    if (!CALLED_AS_TRIGGER(fcinfo))
        throw pg::error(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, "dbnet.notify_tokens() is a trigger function");
    static bool is_registered = false;
    if (!is_registered)
        pg::call([] { RegisterXactCallback(at_end_of_transaction, nullptr); });
    is_registered = has_new_tokens = true;
    return PointerGetDatum(nullptr);
}

DBNET_FUNCTION(dbnet_create_token) {
    const std::string token = make_token();
    const TokenHash hash = hash_of_token(token);
    const text *result = nullptr;
    pg::call([&] {
        constexpr int given = 7; // arguments of dbnet.create_token
        Oid types[given + 2] = {OIDOID,   REGROLEOID,     TEXTOID, INTERVALOID, TEXTOID,
                                JSONBOID, TIMESTAMPTZOID, BOOLOID, BYTEAOID};
        Datum values[given + 2] = {ObjectIdGetDatum(GetUserId())};
        char nulls[given + 2] = {' '};
        for (int index = 0; index < given; ++index) {
            values[index + 1] = PG_GETARG_DATUM(index);
            nulls[index + 1] = PG_ARGISNULL(index) ? 'n' : ' ';
        }
        values[given + 1] =
            PointerGetDatum(cstring_to_text_with_len(reinterpret_cast<const char *>(hash.data()), hash.size()));
        nulls[given + 1] = ' ';
        Oid user = InvalidOid;
        int security_context = 0;
        GetUserIdAndSecContext(&user, &security_context);
        // An error aborts the (sub)transaction, which restores both.
        SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, security_context | SECURITY_LOCAL_USERID_CHANGE);
        SPI_connect();
        SPI_execute_with_args("SELECT dbnet.answer_create_token($1, $2, $3, $4, $5, $6, $7, $8, $9)", given + 2, types,
                              values, nulls, false, 0);
        SPI_finish();
        SetUserIdAndSecContext(user, security_context);
        result = cstring_to_text_with_len(token.data(), static_cast<int>(token.size()));
    });
    PG_RETURN_TEXT_P(result);
}

} // namespace dbnet::gateway
