// Reading policies (see definition.hpp).
#include "policy/definition.hpp"

#include "pg/spi.hpp"

#include <algorithm>

extern "C" {
#include "pgtime.h"
#include "utils/timestamp.h"
}

namespace dbnet::policy {
namespace {

const pg::Statement select_policies{R"sql(
    SELECT p.name, p.number, p.version, p.owner::oid, p.mode = 'act' AND NOT (SELECT dbnet.is_copy()), p.source, r.match <> '{}' OR r.group_by <> '{}',
           p.group_by <> '{}', p.aggregate, p.operator, p.threshold, p.clear_threshold, p.minimum_count,
           extract(epoch FROM p.hold_time) * 1000000, extract(epoch FROM p.keep_firing_for) * 1000000,
           extract(epoch FROM p.cooldown) * 1000000, extract(epoch FROM p.repeat_interval) * 1000000,
           p.max_actions, extract(epoch FROM p.max_actions_interval) * 1000000,
           extract(epoch FROM p.time_window) * 1000000, extract(epoch FROM p.settle_interval) * 1000000,
           p.only_if, p.action IS NOT NULL, extract(epoch FROM p.action_timeout) * 1000, p.query,
           extract(epoch FROM p.every) * 1000000, p.schedule, p.time_zone, p.reads <> '{}',
           extract(epoch FROM p.created_at - timestamptz '2000-01-01 00:00:00+00') * 1000000
    FROM dbnet.policy AS p LEFT JOIN LATERAL dbnet.policy_pane_rule(p) AS r ON true
    WHERE CASE WHEN $1 = '' THEN p.enabled ELSE p.name = $1 END ORDER BY p.name
)sql"};

constexpr const char *source_texts[] = {"spans", "metrics", "logs", "query", "timer", "cron", "transitions"};

constexpr int64 minutes_from_1970_to_2000 = int64{POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE} * 1440;
constexpr Time minute = 60 * second;

// Columns of one row from left to right.
class Reader {
public:
    Reader(const pg::Result &result, size_t row) : result_(result), row_(row) {}

    std::string text() { return std::string(result_.text(row_, column_++)); }
    int64 integer() { return result_.integer(row_, column_++); }
    bool boolean() { return result_.boolean(row_, column_++); }
    Oid oid() { return result_.oid(row_, column_++); }
    std::optional<double> number() {
        const char *value = result_.at(row_, column_++);
        return value ? std::optional(std::strtod(value, nullptr)) : std::nullopt;
    }
    std::optional<Time> time() {
        const std::optional<double> value = number();
        constexpr double longest = 1e18; // 30 000 years: sums with it are times, too
        return value ? std::optional(static_cast<Time>(std::clamp(*value, -longest, longest))) : std::nullopt;
    }

private:
    const pg::Result &result_;
    size_t row_, column_ = 0;
};

Definition definition_of(const pg::Result &result, size_t row) {
    Reader reader(result, row);
    Definition policy;
    policy.name = reader.text();
    policy.number = reader.integer();
    policy.version = reader.integer();
    policy.owner = reader.oid();
    policy.acts = reader.boolean();
    const std::string source = reader.text();
    policy.source = static_cast<Source>(std::find(std::begin(source_texts), std::end(source_texts), source) -
                                        std::begin(source_texts));
    policy.has_own_panes = reader.boolean();
    policy.is_grouped = reader.boolean();
    policy.aggregate_text = reader.text();
    policy.measure = measure_of(policy.aggregate_text).value_or(Measure{});
    if (policy.source == Source::spans)
        policy.measure.unit = 1e-6; // sketches of spans are of nanoseconds, values in milliseconds
    const std::string comparison = reader.text();
    Rules &rules = policy.rules;
    rules.comparison = comparison_of(comparison).value_or(Comparison::greater);
    rules.threshold = reader.number().value_or(0);
    rules.clear_threshold = reader.number();
    rules.wants_absence = policy.measure.aggregate == Aggregate::absent;
    rules.minimum_count = reader.integer();
    rules.hold_time = *reader.time();
    rules.keep_firing_for = *reader.time();
    rules.cooldown = reader.time();
    rules.repeat_interval = reader.time();
    const std::optional<double> max_actions = reader.number();
    if (max_actions)
        rules.max_actions = static_cast<int>(*max_actions);
    rules.max_actions_interval = *reader.time();
    policy.window = *reader.time();
    policy.settle_interval = reader.time();
    policy.only_if = reader.text();
    policy.has_action = reader.boolean();
    policy.timeout_ms = static_cast<int>(reader.number().value_or(0));
    policy.query = reader.text();
    policy.every = reader.time().value_or(0);
    policy.schedule = reader.text();
    policy.time_zone = reader.text();
    policy.has_reads = reader.boolean();
    policy.created_at = *reader.time();
    rules.wants_presence = policy.source == Source::query && comparison.empty();
    return policy;
}

// How many minutes the clock of the zone is ahead of UTC.
int offset_of(pg_tz *zone, Minute utc) noexcept {
    const auto time = static_cast<pg_time_t>(utc * 60);
    const pg_tm *shown = pg_localtime(&time, zone);
    return shown ? static_cast<int>(shown->tm_gmtoff / 60) : 0;
}

} // namespace

bool Definition::needs_whole_window() const noexcept {
    const bool counts = measure.aggregate == Aggregate::rate || measure.aggregate == Aggregate::count;
    const bool is_upwards = rules.comparison == Comparison::greater || rules.comparison == Comparison::greater_or_equal;
    return rules.wants_absence || (has_panes() && counts && !is_upwards);
}

std::vector<Definition> load_definitions(const std::string &name) {
    const pg::Result found = pg::execute(select_policies, name);
    std::vector<Definition> policies;
    for (size_t row = 0; row < found.rows(); row++)
        policies.push_back(definition_of(found, row));
    return policies;
}

std::optional<Time> next_run(const std::string &schedule, const std::string &time_zone, Time after) {
    const auto parsed = Cron::parse(schedule);
    if (const std::string *problem = std::get_if<std::string>(&parsed))
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "\"" + schedule + "\" is no schedule: " + *problem)
            .hint("It is minute hour day-of-month month day-of-week, such as '0 3 * * mon-fri', or @hourly, @daily, "
                  "@weekly, @monthly, @yearly.");
    pg_tz *zone = pg::call([&] { return pg_tzset(time_zone.c_str()); });
    if (zone == nullptr)
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "time zone \"" + time_zone + "\" not recognized")
            .hint("SELECT name FROM pg_timezone_names;");
    const Minute from = after / minute - (after % minute < 0 ? 1 : 0) + minutes_from_1970_to_2000;
    const std::optional<Minute> found =
        std::get<Cron>(parsed).next(from, [zone](Minute utc) { return offset_of(zone, utc); });
    if (!found)
        return std::nullopt;
    return (*found - minutes_from_1970_to_2000) * minute;
}

Time next_due(const Definition &policy, Time after) {
    if (policy.source == Source::cron)
        return next_run(policy.schedule, policy.time_zone, after).value_or(INT64_MAX);
    if (policy.every <= 0)
        return INT64_MAX;
    return policy.created_at + ((after - policy.created_at) / policy.every + 1) * policy.every;
}

} // namespace dbnet::policy
