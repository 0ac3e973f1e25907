// dbnet_test_conversion(integer, integer, cstring, internal, integer, boolean): a conversion of encodings as anybody
// may make one, which turns every text into exclamation marks, for tests of whose conversions are used.
#include "pg/guard.hpp"

#include <algorithm>

DBNET_FUNCTION(dbnet_test_conversion) {
    const int size = PG_GETARG_INT32(4);
    char *const to = PG_GETARG_CSTRING(3);
    std::fill_n(to, size, '!');
    to[size] = '\0';
    PG_RETURN_INT32(size);
}
