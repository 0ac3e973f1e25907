// dbnet.create_token(): makes the token, and leaves what is kept of it to dbnet.answer_create_token(), which also
// checks the caller's rights. Runs in backends.
#include "gateway/token/token.hpp"

extern "C" {
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
}

namespace dbnet::gateway {

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
