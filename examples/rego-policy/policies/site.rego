# Who may do what at this site. One rule decides, `decision`; everything else is said to it.
package archipel

import rego.v1

default decision := {"allow": false, "reason": "no rule of this site allows it; ask the site's administrator"}

# Administrators may do everything.
decision := {"allow": true, "reach": "any"} if is_administrator

# Leaders act for their whole group, members for themselves.
else := {"allow": true, "reach": "group"} if {
	is_leader
	is_ones_own_business
}

# A refusal that says what to do comes before a yes: one of those that hold is told.
else := {"allow": false, "reason": sort(refusals)[0]} if count(refusals) > 0

else := {"allow": true, "reach": "own"} if is_ones_own_business

else := {"allow": true, "reach": "any"} if is_catalogue

is_administrator if [input.user.issuer, input.user.subject] in {[a.issuer, a.subject] | some a in data.administrators}

is_leader if {
	some group in input.user.groups
	group in data.leaders
}

is_catalogue if {
	input.context.operation in {"read", "list"}
	input.resource.kind in {"cloud", "spec", "image", "quota"}
}

is_ones_own_business if {
	input.resource.kind in {"session", "compute", "volume", "network", "attachment", "order", "event"}
	input.context.operation != "admin"
}

is_create if input.context.operation == "create"

refusals contains reason if {
	is_create
	image := input.resource.spec.image
	not is_allowed_image(image)
	reason := sprintf("image %q is not offered here; take one of %s", [image, concat(", ", data.images)])
}

refusals contains reason if {
	is_create
	limit := data.vcpu_limits[input.context.group]
	wanted := input.resource.spec.vcpu
	held := object.get(input.resource, ["group_usage", "vcpu"], 0)
	held + wanted > limit
	reason := sprintf("group %s holds %d of %d virtual CPUs; delete a compute first", [input.context.group, held, limit])
}

# Large machines are started on working days, when somebody is there to help.
refusals contains reason if {
	is_create
	input.resource.spec.vcpu > data.large_vcpu
	time.weekday([input.context.now_ns, data.timezone]) in {"Saturday", "Sunday"}
	reason := sprintf("computes of more than %d virtual CPUs start on working days only", [data.large_vcpu])
}

refusals contains reason if {
	is_create
	project := input.resource.labels.project
	not regex.match(`^[a-z][a-z0-9-]{0,30}$`, project)
	reason := sprintf("%q is no name of a project: a letter, then letters, digits and dashes", [project])
}

is_allowed_image(image) if {
	some pattern in data.images
	glob.match(pattern, [], image)
}
