// Statements that read panes and points (see collector.hpp).
#include "policy/collector.hpp"

#include "pg/spi.hpp"
#include "provenance/event_clock.hpp"

#include <algorithm>

namespace dbnet::policy {
namespace {

// Whatever was running at this moment, and what comes later, is looked at the next time: its rows have an xmin that is
// no older. Read before the rows.
const pg::Statement oldest_running{"SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::bigint & 4294967295)::text"};

// $1 rule, $2 and $3 seconds, $4 the last result of oldest_running, empty: none, $5 with sketches
const pg::Statement read_span_panes{R"sql(
    SELECT extract(epoch FROM p.bucket - timestamptz '2000-01-01 00:00:00+00')::bigint, p.resource_id, p.kind, p.grouping,
           p.count, p.error_count, p.duration_sum / 1000000.0, p.duration_min / 1000000.0, p.duration_max / 1000000.0,
           CASE WHEN $5 THEN p.durations END
    FROM otel.span_pane AS p
    WHERE p.rule = $1 AND p.bucket >= timestamptz '2000-01-01 00:00:00+00' + $2 * interval '1 second'
    AND p.bucket <= timestamptz '2000-01-01 00:00:00+00' + $3 * interval '1 second'
    AND ($4 = '' OR p.bucket IN (
        SELECT t.bucket FROM otel.span_pane AS t
        WHERE t.rule = $1 AND t.bucket >= timestamptz '2000-01-01 00:00:00+00' + $2 * interval '1 second'
        AND t.bucket <= timestamptz '2000-01-01 00:00:00+00' + $3 * interval '1 second'
        AND age(t.xmin) <= age(nullif($4, '')::xid)))
)sql"};
const pg::Statement read_log_panes{R"sql(
    SELECT extract(epoch FROM p.bucket - timestamptz '2000-01-01 00:00:00+00')::bigint, p.resource_id, p.severity_number,
           p.grouping, p.count, CASE WHEN p.severity_number >= 17 THEN p.count ELSE 0 END, 0, 0, 0, NULL
    FROM otel.log_pane AS p
    WHERE p.rule = $1 AND p.bucket >= timestamptz '2000-01-01 00:00:00+00' + $2 * interval '1 second'
    AND p.bucket <= timestamptz '2000-01-01 00:00:00+00' + $3 * interval '1 second'
    AND ($4 = '' OR p.bucket IN (
        SELECT t.bucket FROM otel.log_pane AS t
        WHERE t.rule = $1 AND t.bucket >= timestamptz '2000-01-01 00:00:00+00' + $2 * interval '1 second'
        AND t.bucket <= timestamptz '2000-01-01 00:00:00+00' + $3 * interval '1 second'
        AND age(t.xmin) <= age(nullif($4, '')::xid)))
    AND NOT $5 -- there are no sketches of logs
)sql"};

// $1 number of the policy, $2 and $3 seconds, $4 as above. A counter's growth since the point before; one that went
// down, or began anew, has grown by what it shows. Points of the last five minutes before the window count as before.
const pg::Statement are_points_new{R"sql(
    SELECT 1 FROM dbnet.policy AS p, dbnet.policy_series(p.match ->> 'metric') AS s
    WHERE p.number = $1 AND EXISTS (
        SELECT FROM otel.number_points AS t
        WHERE t.series_id = s.series_id AND t.time >= timestamptz '2000-01-01 00:00:00+00' + $2 * interval '1 second'
        AND t.bucket_time >= timestamptz '2000-01-01 00:00:00+00' + $2 * interval '1 second'
        AND t.time < timestamptz '2000-01-01 00:00:00+00' + ($3 + 1) * interval '1 second'
        AND ($4 = '' OR age(t.xmin) <= age(nullif($4, '')::xid))) LIMIT 1
)sql"};
const pg::Statement read_points{R"sql(
    SELECT v.second, v.series_id, count(*), sum(v.value), min(v.value), max(v.value),
           (array_agg(v.value ORDER BY v.time DESC))[1], sum(CASE WHEN v.is_delta THEN v.value
               WHEN v.is_cumulative AND v.before IS NOT NULL
               THEN CASE WHEN v.value < v.before OR v.start <> v.start_before THEN v.value ELSE v.value - v.before END ELSE 0 END),
           CASE WHEN $4 THEN array_agg(v.value) END
    FROM (SELECT extract(epoch FROM date_trunc('second', t.time) - timestamptz '2000-01-01 00:00:00+00')::bigint AS second,
                 t.time, t.series_id, s.is_delta, s.is_cumulative, t.start_time_unix_nano AS start,
                 coalesce(t.value_double, t.value_int) AS value,
                 lag(coalesce(t.value_double, t.value_int)) OVER before AS before, lag(t.start_time_unix_nano) OVER before AS start_before
          FROM dbnet.policy AS p, dbnet.policy_series(p.match ->> 'metric') AS s,
               LATERAL (SELECT * FROM otel.number_points AS n WHERE n.series_id = s.series_id
                        AND n.time >= timestamptz '2000-01-01 00:00:00+00' + ($2 - 300) * interval '1 second'
                        AND n.bucket_time >= timestamptz '2000-01-01 00:00:00+00' + ($2 - 300) * interval '1 second'
                        AND n.time < timestamptz '2000-01-01 00:00:00+00' + ($3 + 1) * interval '1 second'
                        AND n.flags & 1 = 0) AS t
          WHERE p.number = $1
          WINDOW before AS (PARTITION BY t.series_id ORDER BY t.time_unix_nano)) AS v
    WHERE v.second >= $2 AND v.value IS NOT NULL
    GROUP BY v.second, v.series_id
)sql"};

const pg::Statement read_transitions{R"sql(
    SELECT extract(epoch FROM date_trunc('second', dbnet.event_time(v.id)) - timestamptz '2000-01-01 00:00:00+00')::bigint,
           CASE WHEN p.group_by <> '{}' THEN jsonb_build_object('key', dbnet.key_text(v.key, t.key_columns)) ELSE '{}' END,
           count(*)
    FROM dbnet.policy AS p
    JOIN dbnet.tracked_relation AS t ON t.relation = to_regclass(p.match ->> 'relation')
    JOIN dbnet.entity_version AS v ON v.relation = t.number
    WHERE p.number = $1
    AND v.id >= dbnet.event_at(timestamptz '2000-01-01 00:00:00+00' + $2 * interval '1 second')
    AND v.id < dbnet.event_at(timestamptz '2000-01-01 00:00:00+00' + ($3 + 1) * interval '1 second')
    AND v.operation = 'U' AND v.new ? (p.match ->> 'column')
    AND (NOT p.match ? 'key' OR dbnet.key_text(v.key, t.key_columns) = p.match ->> 'key')
    AND dbnet.may_read_history(p.owner::oid, t.relation)
    GROUP BY 1, 2
)sql"};

const pg::Statement find_group{
    "SELECT dbnet.policy_group(p, $2, $3::smallint, $4::jsonb) FROM dbnet.policy AS p WHERE p.number = $1"};

// $1 number of the policy, $2 resources, $3 and $4 seconds, $5 grouping
const pg::Statement sample{R"sql(
    SELECT dbnet.sample_traces(p, $2::text[]::integer[], timestamptz '2000-01-01 00:00:00+00' + $3 * interval '1 second',
                               timestamptz '2000-01-01 00:00:00+00' + ($4 + 1) * interval '1 second', $5::jsonb)
    FROM dbnet.policy AS p WHERE p.number = $1
)sql"};

constexpr size_t most_remembered = 100'000; // answers of group_of(), some hundred bytes each

int digit_of(char character) noexcept {
    return character <= '9' ? character - '0' : (character | ' ') - 'a' + 10;
}

// As otel.sketch is printed: \x and hexadecimal digits.
telemetry::ExponentialHistogram sketch_of(std::string_view text) {
    std::string bytes;
    for (size_t index = 2; index + 1 < text.size(); index += 2)
        bytes += static_cast<char>(digit_of(text[index]) << 4 | digit_of(text[index + 1]));
    telemetry::ExponentialHistogram sketch;
    sketch.parse(bytes);
    return sketch;
}

// As double precision[] is printed.
telemetry::ExponentialHistogram sketch_of_values(std::string_view text) {
    telemetry::ExponentialHistogram sketch;
    for (size_t start = 1; start < text.size();) {
        const size_t end = std::min(text.find_first_of(",}", start), text.size());
        sketch.add(std::strtod(std::string(text.substr(start, end - start)).c_str(), nullptr));
        start = end + 1;
    }
    return sketch;
}

double number(const pg::Result &result, size_t row, size_t column) {
    const char *text = result.at(row, column);
    return text ? std::strtod(text, nullptr) : 0;
}

} // namespace

const std::string &Collector::group_of(const Definition &policy, int64 subject, int64 number,
                                       std::string_view grouping) {
    std::string key = std::to_string(subject) + '|' + std::to_string(number) + '|' + std::string(grouping);
    if (const auto known = group_of_.find(key); known != group_of_.end())
        return known->second;
    if (group_of_.size() >= most_remembered) {
        group_of_.clear();
        subjects_.clear();
    }
    const pg::Result found = pg::execute(find_group, policy.number, subject, number, grouping);
    std::string group(found.rows() > 0 ? found.text(0, 0) : std::string_view());
    if (!group.empty())
        subjects_[group].push_back(std::to_string(subject));
    return group_of_.emplace(std::move(key), std::move(group)).first->second;
}

bool Collector::collect_panes(const Definition &policy, Span seconds, Panes &panes) {
    const bool with_sketches = policy.source == Source::spans && policy.measure.aggregate == Aggregate::quantile;
    const pg::Result found =
        pg::execute(policy.source == Source::spans ? read_span_panes : read_log_panes,
                    policy.has_own_panes ? policy.number : 0, seconds.first, seconds.last, seen_, with_sketches);
    std::vector<Second> renewed; // read as a whole
    for (size_t row = 0; row < found.rows(); row++)
        renewed.push_back(found.integer(row, 0));
    std::sort(renewed.begin(), renewed.end());
    renewed.erase(std::unique(renewed.begin(), renewed.end()), renewed.end());
    for (const Second second : renewed)
        panes.forget(second);
    for (size_t row = 0; row < found.rows(); row++) {
        const std::string &group = group_of(policy, found.integer(row, 1), found.integer(row, 2), found.text(row, 3));
        if (group.empty())
            continue;
        Pane pane;
        pane.count = found.integer(row, 4);
        pane.errors = found.integer(row, 5);
        pane.increase = static_cast<double>(pane.count);
        pane.sum = number(found, row, 6);
        pane.min = number(found, row, 7);
        pane.max = number(found, row, 8);
        if (with_sketches)
            pane.values = sketch_of(found.text(row, 9));
        panes.of(group).add(found.integer(row, 0), pane);
    }
    return !renewed.empty();
}

bool Collector::collect_points(const Definition &policy, Span seconds, Panes &panes) {
    if (pg::execute(are_points_new, policy.number, seconds.first, seconds.last, seen_).rows() == 0)
        return false;
    const bool with_values = policy.measure.aggregate == Aggregate::quantile;
    const pg::Result found = pg::execute(read_points, policy.number, seconds.first, seconds.last, with_values);
    panes.clear();
    for (size_t row = 0; row < found.rows(); row++) {
        const std::string &group = group_of(policy, found.integer(row, 1), 0, "{}");
        if (group.empty())
            continue;
        Pane pane;
        pane.count = found.integer(row, 2);
        pane.sum = number(found, row, 3);
        pane.min = number(found, row, 4);
        pane.max = number(found, row, 5);
        pane.last = number(found, row, 6);
        pane.last_at = found.integer(row, 0);
        pane.increase = number(found, row, 7);
        if (with_values)
            pane.values = sketch_of_values(found.text(row, 8));
        panes.of(group).add(found.integer(row, 0), pane);
    }
    return true;
}

bool Collector::collect_transitions(const Definition &policy, Span seconds, Panes &panes) {
    // Nothing was recorded in any database since: there is nothing to read.
    const int64 newest = static_cast<int64>(provenance::newest_tick());
    if (newest == newest_event_ && read_until_ != 0 && seconds.last - read_until_ < 60)
        return false;
    newest_event_ = newest;
    read_until_ = seconds.last;
    const pg::Result found = pg::execute(read_transitions, policy.number, seconds.first, seconds.last);
    panes.clear();
    for (size_t row = 0; row < found.rows(); row++) {
        Pane pane;
        pane.count = found.integer(row, 2);
        pane.increase = static_cast<double>(pane.count);
        panes.of(std::string(found.text(row, 1))).add(found.integer(row, 0), pane);
    }
    return true;
}

bool Collector::collect(const Definition &policy, Span seconds, Panes &panes) {
    if (policy.source == Source::transitions) {
        const bool is_new = collect_transitions(policy, seconds, panes);
        panes.forget_before(seconds.first);
        return is_new;
    }
    const std::string running(pg::execute(oldest_running).text(0, 0));
    const bool is_new = policy.source == Source::metrics ? collect_points(policy, seconds, panes)
                                                         : collect_panes(policy, seconds, panes);
    seen_ = running;
    panes.forget_before(seconds.first);
    return is_new;
}

std::string Collector::sample_traces(const Definition &policy, const std::string &group, Span seconds) {
    if (policy.source != Source::spans && policy.source != Source::logs)
        return "{}";
    const pg::Result found = pg::execute(sample, policy.number, subjects_[group], seconds.first, seconds.last, group);
    return found.rows() > 0 ? std::string(found.text(0, 0)) : "{}";
}

} // namespace dbnet::policy
