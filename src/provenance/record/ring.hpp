// Rings of partitions by event id (see sql/08_provenance.sql, sql/04_mirror.sql): a place holds the ids of one stretch
// of time and is used again when the ring has gone round. Pure C++; mirror worker.
#pragma once

#include "provenance/record/event_id.hpp"

namespace dbnet::provenance {

struct Ring {
    int shift; // of an id, to the number of its stretch
    int places;

    // No id from `oldest` to `newest` is in this place: what is there is from an earlier round, or older than `oldest`.
    constexpr bool is_over(int place, EventId oldest, EventId newest) const noexcept {
        const EventId first = oldest >> shift, last = newest >> shift;
        const EventId from_first = ((place - first) % places + places) % places;
        return from_first > last - first;
    }
    // The first id of the stretch that holds `event`: older ones are in other places.
    constexpr EventId start_of_stretch(EventId event) const noexcept { return (event >> shift) << shift; }
};

inline constexpr Ring event_ring{stretch_bits, 16}; // activity, entity_version
inline constexpr Ring actuation_ring{49, 8};        // 6.4 days

} // namespace dbnet::provenance
