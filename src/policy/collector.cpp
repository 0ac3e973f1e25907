// Statements that read panes and points (see collector.hpp).
#include "policy/collector.hpp"

#include "pg/shared_memory.hpp"
#include "pg/spi.hpp"
#include "policy/counted.hpp"

#include <algorithm>
#include <chrono>

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

// $1 number of the policy, $2 and $3 seconds, $4 as above.
#define DBNET_ARE_NEW(points, types)                                                                                   \
    "SELECT 1 FROM dbnet.policy AS p, dbnet.policy_series(p.match ->> 'metric') AS s"                                  \
    " WHERE p.number = $1 AND s.type IN (" types ") AND EXISTS (SELECT FROM otel." points " AS t"                      \
    " WHERE t.series_id = s.series_id AND t.time >= timestamptz '2000-01-01 00:00:00+00' + $2 * interval '1 second'"   \
    " AND t.bucket_time >= timestamptz '2000-01-01 00:00:00+00' + $2 * interval '1 second'"                            \
    " AND t.time < timestamptz '2000-01-01 00:00:00+00' + ($3 + 1) * interval '1 second'"                              \
    " AND ($4 = '' OR age(t.xmin) <= age(nullif($4, '')::xid))) LIMIT 1"
const pg::Statement are_points_new[]{pg::Statement{DBNET_ARE_NEW("number_points", "1, 2")},
                                     pg::Statement{DBNET_ARE_NEW("histogram_points", "3")},
                                     pg::Statement{DBNET_ARE_NEW("exponential_histogram_points", "4")}};
#undef DBNET_ARE_NEW

// Points of histograms, each with the one before it to be compared with. $1 number of the policy, $2 and $3 seconds.
#define DBNET_COUNTED(points, type, columns)                                                                           \
    "SELECT extract(epoch FROM date_trunc('second', t.time) - timestamptz '2000-01-01 00:00:00+00')::bigint,"          \
    " t.series_id, s.is_delta, t.start_time_unix_nano, t.count, t.sum, t.min, t.max, " columns                         \
    " FROM dbnet.policy AS p, dbnet.policy_series(p.match ->> 'metric') AS s, otel." points " AS t"                    \
    " WHERE p.number = $1 AND s.type = " type " AND t.series_id = s.series_id AND t.flags & 1 = 0"                     \
    " AND t.time >= timestamptz '2000-01-01 00:00:00+00' + ($2 - 300) * interval '1 second'"                           \
    " AND t.bucket_time >= timestamptz '2000-01-01 00:00:00+00' + ($2 - 300) * interval '1 second'"                    \
    " AND t.time < timestamptz '2000-01-01 00:00:00+00' + ($3 + 1) * interval '1 second'"                              \
    " ORDER BY t.series_id, t.time_unix_nano"
const pg::Statement read_histograms{DBNET_COUNTED("histogram_points", "3", "t.explicit_bounds, t.bucket_counts")};
const pg::Statement read_exponential_histograms{
    DBNET_COUNTED("exponential_histogram_points", "4",
                  "t.scale, t.zero_count, t.positive_offset, t.positive_counts, t.negative_offset, t.negative_counts")};
#undef DBNET_COUNTED

// $1 number of the policy, $2 and $3 seconds, $4 with values. A counter's growth since the point before; one that went
// down, or began anew, has grown by what it shows. Points of the last five minutes before the window count as before.
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
               LATERAL (SELECT * FROM otel.number_points AS n WHERE n.series_id = s.series_id AND s.type IN (1, 2)
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
    GROUP BY 1, 2
)sql",
                                     pg::Planned::by_values};

const pg::Statement check_reads{"SELECT dbnet.check_policy_reads(p) FROM dbnet.policy AS p WHERE p.number = $1"};

const pg::Statement find_group{
    "SELECT dbnet.policy_group(p, $2, $3::smallint, $4::jsonb) FROM dbnet.policy AS p WHERE p.number = $1"};

// $1 number of the policy, $2 resources, $3 and $4 seconds, $5 grouping, $6 value
const pg::Statement sample{R"sql(
    SELECT dbnet.sample_traces(p, $2::text[]::integer[], timestamptz '2000-01-01 00:00:00+00' + $3 * interval '1 second',
                               timestamptz '2000-01-01 00:00:00+00' + ($4 + 1) * interval '1 second', $5::jsonb, $6, $7::integer)
    FROM dbnet.policy AS p WHERE p.number = $1
)sql"};

// $1 number of the policy, $2 series, $3 and $4 seconds
const pg::Statement sample_of_metrics{R"sql(
    SELECT dbnet.sample_exemplars(p, $2::text[]::bigint[], timestamptz '2000-01-01 00:00:00+00' + $3 * interval '1 second',
                                  timestamptz '2000-01-01 00:00:00+00' + ($4 + 1) * interval '1 second')
    FROM dbnet.policy AS p WHERE p.number = $1
)sql"};

// What is older than this is looked at less often: however long a window is, little of it is read at each turn.
constexpr Second settled_after = 120, look_for_late_every = 60;

// What lies ahead of the window is read along: a row that was committed before a look is not new at the next one, and
// senders' clocks may be ahead by as much (telemetry/tables/event_time.hpp).
constexpr Second clock_tolerance = 300;

// Among which traces are looked for, far for what acts. The other policies wait meanwhile: where many act at once, a
// tenth of the time goes into that.
constexpr int64 near_pages = 200, far_pages = 1'600;
constexpr int share_of_far = 10;

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

// Calls f with each number of an array as it is printed.
template<class F> void for_each_number(std::string_view text, F f) {
    for (size_t start = 1; start + 1 < text.size();) {
        const size_t end = std::min(text.find_first_of(",}", start), text.size());
        f(std::string(text.substr(start, end - start)));
        start = end + 1;
    }
}

telemetry::ExponentialHistogram sketch_of_values(std::string_view text) {
    telemetry::ExponentialHistogram sketch;
    for_each_number(text, [&](const std::string &number) { sketch.add(std::strtod(number.c_str(), nullptr)); });
    return sketch;
}

std::vector<uint64_t> counts_of(std::string_view text) {
    std::vector<uint64_t> counts;
    for_each_number(text, [&](const std::string &number) {
        counts.push_back(static_cast<uint64_t>(std::max<long long>(std::strtoll(number.c_str(), nullptr, 10), 0)));
    });
    return counts;
}

double number(const pg::Result &result, size_t row, size_t column) {
    const char *text = result.at(row, column);
    return text ? std::strtod(text, nullptr) : 0;
}

std::optional<double> number_if_any(const pg::Result &result, size_t row, size_t column) {
    return result.at(row, column) ? std::optional(number(result, row, column)) : std::nullopt;
}

// A row of read_histograms or read_exponential_histograms.
CountedPoint counted_point(const pg::Result &result, size_t row, bool is_exponential) {
    CountedPoint point;
    point.start = result.integer(row, 3);
    point.count = static_cast<uint64_t>(std::max<int64>(result.integer(row, 4), 0));
    point.sum = number(result, row, 5);
    point.min = number_if_any(result, row, 6);
    point.max = number_if_any(result, row, 7);
    point.is_exponential = is_exponential;
    if (!is_exponential) {
        for_each_number(result.text(row, 8),
                        [&](const std::string &bound) { point.bounds.push_back(std::strtod(bound.c_str(), nullptr)); });
        point.counts = counts_of(result.text(row, 9));
        return point;
    }
    point.scale = static_cast<int32>(result.integer(row, 8));
    point.zero_count = static_cast<uint64_t>(std::max<int64>(result.integer(row, 9), 0));
    point.positive_offset = static_cast<int32>(result.integer(row, 10));
    point.positive = counts_of(result.text(row, 11));
    point.negative_offset = static_cast<int32>(result.integer(row, 12));
    point.negative = counts_of(result.text(row, 13));
    return point;
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
        subjects_[group].insert(std::to_string(subject));
    return group_of_.emplace(std::move(key), std::move(group)).first->second;
}

bool Collector::collect_panes(const Definition &policy, Span seconds, const std::string &since, Panes &panes) {
    const bool with_sketches = policy.source == Source::spans && policy.measure.aggregate == Aggregate::quantile;
    const pg::Result found =
        pg::execute(policy.source == Source::spans ? read_span_panes : read_log_panes,
                    policy.has_own_panes ? policy.number : 0, seconds.first, seconds.last, since, with_sketches);
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

bool Collector::are_new(const Definition &policy, Span seconds, const std::string &since) {
    return std::any_of(std::begin(are_points_new), std::end(are_points_new), [&](const pg::Statement &statement) {
        return pg::execute(statement, policy.number, seconds.first, seconds.last, since).rows() > 0;
    });
}

void Collector::collect_numbers(const Definition &policy, Span seconds, Panes &panes) {
    const bool with_values = policy.measure.aggregate == Aggregate::quantile;
    const pg::Result found = pg::execute(read_points, policy.number, seconds.first, seconds.last, with_values);
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
}

// The first point of a cumulative series says nothing: how much of it was counted when is not known.
void Collector::collect_counted(const Definition &policy, Span seconds, bool is_exponential, Panes &panes) {
    const pg::Result found = pg::execute(is_exponential ? read_exponential_histograms : read_histograms, policy.number,
                                         seconds.first, seconds.last);
    const bool with_values = policy.measure.aggregate == Aggregate::quantile;
    std::optional<CountedPoint> before;
    int64 series = 0;
    for (size_t row = 0; row < found.rows(); row++) {
        if (found.integer(row, 1) != series)
            before.reset();
        series = found.integer(row, 1);
        CountedPoint point = counted_point(found, row, is_exponential);
        const bool is_delta = found.boolean(row, 2);
        const Second second = found.integer(row, 0);
        if (second >= seconds.first && (is_delta || before)) {
            const std::string &group = group_of(policy, series, 0, "{}");
            Pane pane = growth(is_delta ? nullptr : &*before, point, with_values);
            pane.last_at = second;
            if (!group.empty())
                panes.of(group).add(second, pane);
        }
        before = std::move(point);
    }
}

void Collector::collect_points(const Definition &policy, Span seconds, Panes &panes) {
    panes.forget_from(seconds.first);
    collect_numbers(policy, seconds, panes);
    collect_counted(policy, seconds, false, panes);
    collect_counted(policy, seconds, true, panes);
}

bool Collector::collect_transitions(const Definition &policy, Span seconds, Panes &panes) {
    // Counted before anything is read: what is committed meanwhile is read again.
    const uint64 commits = pg::recorded_commits(MyDatabaseId);
    if (read_transitions_until_ && commits == recorded_commits_ &&
        seconds.last - *read_transitions_until_ < look_for_late_every)
        return false;
    const pg::Result found =
        pg::execute(read_transitions, policy.number, seconds.first, seconds.last + clock_tolerance);
    recorded_commits_ = commits; // else, after an error, nothing would be new
    read_transitions_until_ = seconds.last;
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
    pg::execute(check_reads, policy.number);
    if (policy.source == Source::transitions) {
        const bool is_new = collect_transitions(policy, seconds, panes);
        panes.forget_before(seconds.first);
        return is_new;
    }
    const std::string running(pg::execute(oldest_running).text(0, 0));
    const Span readable{seconds.first, seconds.last + clock_tolerance};
    bool is_new = collect_recent(policy, readable, panes);
    if (seen_.empty() || seconds.last - looked_for_late_at_ >= look_for_late_every) {
        is_new |= !seen_.empty() && collect_late(policy, readable, panes);
        late_seen_ = running;
        looked_for_late_at_ = seconds.last;
        settled_until_ = seconds.last - settled_after;
    }
    seen_ = running;
    panes.forget_before(seconds.first);
    return is_new;
}

bool Collector::collect_recent(const Definition &policy, Span seconds, Panes &panes) {
    const Span recent{seen_.empty() ? seconds.first : std::max(seconds.first, settled_until_ + 1), seconds.last};
    if (policy.source != Source::metrics)
        return collect_panes(policy, recent, seen_, panes);
    if (!are_new(policy, recent, seen_))
        return false;
    collect_points(policy, recent, panes);
    return true;
}

bool Collector::collect_late(const Definition &policy, Span seconds, Panes &panes) {
    const Span settled{seconds.first, settled_until_};
    if (settled.first > settled.last)
        return false;
    if (policy.source != Source::metrics)
        return collect_panes(policy, settled, late_seen_, panes);
    if (!are_new(policy, settled, late_seen_))
        return false;
    collect_points(policy, seconds, panes);
    return true;
}

std::string Collector::sample_traces(const Definition &policy, const std::string &group, Span seconds,
                                     std::optional<double> value, bool is_acting) {
    const auto known = subjects_.find(group);
    if (known == subjects_.end()) // of another source, or forgotten
        return "{}";
    const std::vector<std::string> subjects(known->second.begin(), known->second.end());
    pg::Result found;
    if (policy.source == Source::metrics) {
        found = pg::execute(sample_of_metrics, policy.number, subjects, seconds.first, seconds.last);
    } else if (policy.source == Source::spans || policy.source == Source::logs) {
        using Clock = std::chrono::steady_clock;
        static Clock::time_point far_again; // of all policies
        const Clock::time_point begun = Clock::now();
        const bool is_far = is_acting && begun >= far_again;
        found = pg::execute(sample, policy.number, subjects, seconds.first, seconds.last, group, value,
                            is_far ? far_pages : near_pages);
        if (is_far)
            far_again = Clock::now() + share_of_far * (Clock::now() - begun);
    }
    return found.rows() > 0 ? std::string(found.text(0, 0)) : "{}";
}

} // namespace dbnet::policy
