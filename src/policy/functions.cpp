// SQL functions of policies that are not told in SQL (31_policy_functions.sql). Run in backends.
#include "policy/definition.hpp"

#include "pg/spi.hpp"
#include "policy/wake.hpp"

extern "C" {
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/timestamp.h"
}

namespace dbnet::policy {
namespace {

// Parses and analyzes a SELECT; nothing of it is planned or run.
TupleDesc columns_of(const char *sql) {
    const SPIPlanPtr plan = SPI_prepare(sql, 0, nullptr);
    if (plan == nullptr || list_length(SPI_plan_get_plan_sources(plan)) != 1 || !SPI_is_cursor_plan(plan))
        return nullptr;
    return static_cast<CachedPlanSource *>(linitial(SPI_plan_get_plan_sources(plan)))->resultDesc;
}

// No row: nothing of this database acts yet.
const pg::Statement look_at_arming{"SELECT (system_identifier, database) IS DISTINCT FROM ($1, $2) FROM dbnet.arming"};

bool is_number(Oid type) {
    char category = 0;
    bool is_preferred = false;
    get_type_category_preferred(type, &category, &is_preferred);
    return category == TYPCATEGORY_NUMERIC;
}

} // namespace

DBNET_FUNCTION(dbnet_next_run) {
    const std::string schedule(
        std::string_view(pg::call([&] { return static_cast<const char *>(text_to_cstring(PG_GETARG_TEXT_PP(0))); })));
    const std::string time_zone(
        std::string_view(pg::call([&] { return static_cast<const char *>(text_to_cstring(PG_GETARG_TEXT_PP(2))); })));
    const TimestampTz after = PG_GETARG_TIMESTAMPTZ(1);
    if (TIMESTAMP_NOT_FINITE(after))
        PG_RETURN_NULL();
    const std::optional<Time> next = next_run(schedule, time_zone, after);
    if (!next)
        PG_RETURN_NULL();
    PG_RETURN_TIMESTAMPTZ(*next);
}

DBNET_FUNCTION(dbnet_is_copy) {
    const auto system_identifier = static_cast<int64>(pg::call([] { return GetSystemIdentifier(); }));
    const pg::Result arming = pg::in_spi([&] { return pg::execute(look_at_arming, system_identifier, MyDatabaseId); });
    PG_RETURN_BOOL(arming.rows() > 0 && arming.boolean(0, 0));
}

DBNET_FUNCTION(dbnet_check_policy_query) {
    bool has_value = true, is_value_number = true, is_count_number = true, is_query = true, is_condition = true;
    pg::call([&] {
        SPI_connect();
        if (!PG_ARGISNULL(0)) {
            const TupleDesc columns = columns_of(text_to_cstring(PG_GETARG_TEXT_PP(0)));
            is_query = columns != nullptr;
            has_value = false;
            for (int index = 0; columns != nullptr && index < columns->natts; ++index) {
                const Form_pg_attribute column = TupleDescAttr(columns, index);
                if (strcmp(NameStr(column->attname), "value") == 0) {
                    has_value = true;
                    is_value_number = is_number(column->atttypid);
                } else if (strcmp(NameStr(column->attname), "count") == 0) {
                    is_count_number = is_number(column->atttypid);
                }
            }
        }
        if (!PG_ARGISNULL(1)) {
            const char *sql = psprintf("SELECT (%s) FROM (SELECT (NULL::dbnet.policy_event).*) AS event",
                                       text_to_cstring(PG_GETARG_TEXT_PP(1)));
            const TupleDesc columns = columns_of(sql);
            is_condition = columns != nullptr && columns->natts == 1 && TupleDescAttr(columns, 0)->atttypid == BOOLOID;
        }
        SPI_finish();
    });
    if (!is_query)
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "query is not one SELECT");
    if (!has_value || !is_value_number)
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE,
                        has_value ? "column value of the query is no number" : "the query has no column value")
            .hint("SELECT zone, avg(load) AS value, count(*) AS count FROM ... GROUP BY zone: value is compared with "
                  "threshold, count with minimum_count, other columns name the group.");
    if (!is_count_number)
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "column count of the query is no number");
    if (!is_condition)
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "only_if is no condition")
            .hint("It is a boolean expression on the event: event.value < 100, or EXISTS (SELECT ... WHERE node = "
                  "event.grouping ->> 'node').");
    PG_RETURN_VOID();
}

DBNET_FUNCTION(dbnet_notify_policies) {
    if (!CALLED_AS_TRIGGER(fcinfo))
        throw pg::error(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, "dbnet.notify_policies() is a trigger function");
    wake_worker_at_commit();
    return PointerGetDatum(nullptr);
}

} // namespace dbnet::policy
