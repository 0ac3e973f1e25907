// The compare: every row of a mirror against what is recorded of its object, slice by slice, so that neither memory nor
// a transaction grows with the table. What differs goes to the actuator as if one transaction had changed it. Runs at
// the worker's start, when the change feed may have missed something, when a mirror is changed, armed or resumed, when
// somebody asks, and every dbnet.compare_interval. Mirror worker.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "bgworker/actuation/actuator.hpp"
#include "bgworker/read_pace.hpp"
#include "mirror/store/row_reader.hpp"

namespace dbnet::bgworker {

class Compare {
public:
    Compare(Actuator &actuator, ActuatorClient &client) : actuator_(actuator), client_(client) {}

    // Mirrors that are new or changed are compared, those that may not send are once they may.
    void configure(std::shared_ptr<const mirror::Catalog> catalog);

    // `thorough`: objects that failed for good are tried once more.
    void request(uint32_t relation, bool thorough);
    void request_all(bool thorough);

    // One slice, in a transaction of its own. True when there is more to do at once.
    bool step();

    // The mirrors of which a compare has yet to tell what was committed; those that may not send do not count.
    std::vector<uint32_t> pending() const;

private:
    static constexpr size_t slice_blocks = 16; // of 8 kB: a few hundred to a few thousand rows
    static constexpr size_t slice_keys = 500;
    static constexpr size_t first_slice = 64; // rows at most: they may be of a megabyte each

    // Of a mirror, from one compare to the next.
    struct Paces {
        ReadPace places{slice_blocks * mirror::places_per_block, first_slice};
        ReadPace keys{slice_keys, first_slice};
    };

    struct Job {
        bool thorough = false;
        bool again = false; // requested once more while it ran
        bool running = false;
        bool rows_done = false;
        int64_t not_before_ms = 0;           // after an error
        int failures = 0;                    // in a row
        uint64_t next_place = 0;             // see mirror/store/row_reader.hpp
        std::optional<mirror::Key> last_key; // of those without a row
        std::vector<Wanted> found;
        std::set<mirror::Key> counted; // in extent
        Extent extent;
    };
    using Rows = std::vector<std::pair<mirror::Key, std::optional<mirror::RowFields>>>;

    bool is_ready(const mirror::Mirror &mirror) const;
    // Each returns the bytes of the rows as text.
    size_t step_rows(Job &job, const mirror::Mirror &mirror, size_t together);
    size_t step_keys(Job &job, const mirror::Mirror &mirror, size_t together);
    void step_job(Job &job, const mirror::Mirror &mirror);
    void leave_to_actuator(Job &job, const mirror::Mirror &mirror);
    size_t examine(Job &job, const mirror::Mirror &mirror, const Rows &rows);
    void finish(uint32_t relation, Job &job);

    Actuator &actuator_;
    ActuatorClient &client_;
    std::shared_ptr<const mirror::Catalog> catalog_ = std::make_shared<mirror::Catalog>();
    std::map<uint32_t, Job> jobs_;
    std::map<uint32_t, int64_t> generations_;
    std::map<uint32_t, Paces> paces_;
};

} // namespace dbnet::bgworker
