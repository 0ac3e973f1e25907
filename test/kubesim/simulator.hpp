// The simulator as what answers requests: all its parts put together.
#pragma once

#include "api.hpp"
#include "authentication.hpp"
#include "backend.hpp"
#include "control.hpp"
#include "controllers.hpp"
#include "custom_kinds.hpp"
#include "definition_controller.hpp"
#include "discovery.hpp"
#include "journal.hpp"
#include "options.hpp"
#include "router.hpp"
#include "store.hpp"
#include "watch.hpp"

#include <optional>

namespace kubesim {

class Simulator : public Backend {
public:
    Simulator(EventLoop &loop, const Options &options, Control &control);

    void handle(const std::shared_ptr<const Request> &request, const std::shared_ptr<Answer> &answer) override;
    void control(const std::shared_ptr<const Request> &request, const std::shared_ptr<Answer> &answer) override;
    uint64_t revision() const override { return store_.revision(); }
    std::string kubeconfig(const std::string &url, const Certificates &certificates) const override;
    void turn_end() override { watches_.flush(); }

private:
    void load_store(const std::string &file);
    void add_calls(Control &control);
    void set_tokens(const json &rights);

    EventLoop &loop_;
    const Options options_;
    Authentication authentication_;
    Authorization authorization_;
    Schemas schemas_;
    Kinds kinds_;
    Discovery discovery_;
    CustomKinds custom_;
    Store store_;
    std::optional<Journal> journal_;
    WatchHub watches_;
    Api api_;
    Controllers controllers_;
    DefinitionController definitions_;
    Router router_;
};

} // namespace kubesim
