// dbnet_test_execute(statement text): a C function that changes rows as any extension's would, for tests of provenance.
#include "pg/guard.hpp"

extern "C" {
#include "executor/spi.h"
#include "utils/builtins.h"
}

DBNET_FUNCTION(dbnet_test_execute) {
    dbnet::pg::call([fcinfo] {
        SPI_connect();
        SPI_execute(text_to_cstring(PG_GETARG_TEXT_PP(0)), false, 0);
        SPI_finish();
    });
    PG_RETURN_VOID();
}
