// Emptying a batch, whole or from a mark on; see the header. Any process that takes telemetry.
#include "telemetry/batch.hpp"

namespace dbnet::telemetry {

namespace {

constexpr size_t most_kept = 64 * 1024 * 1024; // or one batch of a million records keeps its memory for ever

} // namespace

void Batch::clear() noexcept {
    arena.reset();
    if (footprint() > most_kept) {
        Batch fresh;
        fresh.encode = encode;
        *this = std::move(fresh);
        return;
    }
    requests.clear();
    resources.clear();
    scopes.clear();
    spans.clear();
    span_events.clear();
    span_links.clear();
    metrics.clear();
    series.clear();
    number_points.clear();
    histogram_points.clear();
    exponential_histogram_points.clear();
    summary_points.clear();
    log_records.clear();
    for (HashIndex *index : {&resource_index, &scope_index, &metric_index, &series_index})
        index->clear();
    last_resource = last_scope = {};
}

size_t Batch::records() const noexcept {
    return resources.size() + scopes.size() + spans.size() + span_events.size() + span_links.size() +
           number_points.size() + histogram_points.size() + exponential_histogram_points.size() +
           summary_points.size() + log_records.size();
}

size_t Batch::footprint() const noexcept {
    const auto bytes_of = [](const auto &...records) {
        return ((records.capacity() * sizeof(*records.data())) + ... + size_t{0});
    };
    return arena.footprint() + bytes_of(requests, resources, scopes, spans, span_events, span_links, metrics, series,
                                        number_points, histogram_points, exponential_histogram_points, summary_points,
                                        log_records);
}

Batch::Mark Batch::mark() const noexcept {
    return {arena.mark(),          requests.size(),      resources.size(),        scopes.size(),
            spans.size(),          span_events.size(),   span_links.size(),       metrics.size(),
            series.size(),         number_points.size(), histogram_points.size(), exponential_histogram_points.size(),
            summary_points.size(), log_records.size()};
}

namespace {

template<class T> void shorten(std::vector<T> &records, size_t size) {
    records.erase(records.begin() + static_cast<ptrdiff_t>(size), records.end());
}

template<class T> void shorten(std::vector<T> &records, HashIndex &index, size_t size) {
    for (size_t at = size; at < records.size(); ++at)
        index.remove(records[at].hash);
    shorten(records, size);
}

} // namespace

void Batch::rewind(const Mark &mark) {
    shorten(requests, mark.requests);
    shorten(resources, resource_index, mark.resources);
    shorten(scopes, scope_index, mark.scopes);
    shorten(spans, mark.spans);
    shorten(span_events, mark.span_events);
    shorten(span_links, mark.span_links);
    shorten(metrics, metric_index, mark.metrics);
    shorten(series, series_index, mark.series);
    shorten(number_points, mark.number_points);
    shorten(histogram_points, mark.histogram_points);
    shorten(exponential_histogram_points, mark.exponential_histogram_points);
    shorten(summary_points, mark.summary_points);
    shorten(log_records, mark.log_records);
    last_resource = last_scope = {};
    arena.rewind(mark.arena);
}

} // namespace dbnet::telemetry

#include "pg/no_postgres.hpp"
