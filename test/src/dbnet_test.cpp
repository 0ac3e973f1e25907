// Entry of dbnet_test, the library of test-only SQL functions. It carries a copy of DBNet's code and finds the shared
// memory that the preloaded dbnet has set up. Built and installed for `make check` only.
#include "pg/guard.hpp"

extern "C" {
PG_MODULE_MAGIC;
PGDLLEXPORT void _PG_init(void);
}

namespace dbnet::test {

// Of the change feed's tests (feed_probe.cpp).
void feed_probe_init();

} // namespace dbnet::test

extern "C" void _PG_init(void) {
    dbnet::pg::enter([] { dbnet::test::feed_probe_init(); });
}
