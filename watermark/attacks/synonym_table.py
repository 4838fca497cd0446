"""Groups of English words that often stand for one another, one group a line, each word in one group only. Our own list."""

GROUPS = """
big large huge
bigger larger
small little tiny
smaller littler
quick fast rapid swift
quickly rapidly swiftly speedily
slow sluggish unhurried
slowly gradually unhurriedly
begin start commence
begins starts commences
began started commenced
beginning starting commencing
end finish conclude
ends finishes concludes
ended finished concluded
help assist aid
helps assists aids
helped assisted aided
show display demonstrate
shows displays demonstrates
showed displayed demonstrated
shown exhibited presented
make create produce
makes creates produces
made created produced
making creating producing
get obtain acquire
gets obtains acquires
got obtained acquired
give provide supply
gives provides supplies
gave provided supplied
use employ utilize
uses employs utilizes
used employed utilized
using employing utilizing
need require
needs requires
needed required
keep retain preserve
keeps retains preserves
kept retained preserved
allow permit let
allows permits lets
allowed permitted
build construct assemble
builds constructs assembles
built constructed assembled
buy purchase
buys purchases
bought purchased
choose select pick
chooses selects picks
chose selected picked
change alter modify
changes alters modifies
changed altered modified
explain describe clarify
explains describes clarifies
explained described clarified
find discover locate
finds discovers locates
found discovered located
say state remark
says states remarks
said stated remarked
think believe reckon
thinks believes reckons
thought believed reckoned
try attempt endeavor
tries attempts endeavors
tried attempted endeavored
want desire wish
wants desires wishes
wanted desired wished
look glance gaze
looks glances gazes
looked glanced gazed
walk stroll wander
walks strolls wanders
walked strolled wandered
talk speak chat
talks speaks chats
talked spoke chatted
answer reply respond
answers replies responds
answered replied responded
happen occur arise
happens occurs arises
happened occurred arose
return revert
returns reverts
returned reverted
contain include comprise
contains includes comprises
contained included comprised
write compose pen
writes composes pens
wrote composed penned
important significant crucial vital
different distinct dissimilar
similar alike comparable
good fine decent
better superior finer
best finest foremost
bad poor awful
worse inferior poorer
happy glad joyful cheerful
sad unhappy sorrowful
beautiful lovely gorgeous
ugly unsightly hideous
easy simple effortless
easily simply effortlessly
hard difficult tough
strong powerful sturdy
weak feeble frail
rich wealthy affluent
old ancient aged
new novel fresh
famous renowned celebrated
strange odd peculiar
common usual ordinary
rare scarce uncommon
whole entire complete
main chief principal
clear plain evident
clearly plainly evidently
correct right accurate
wrong incorrect mistaken
often frequently regularly
usually generally typically
sometimes occasionally periodically
always invariably forever
also additionally moreover
however nevertheless nonetheless
therefore thus hence
because since as
although though while
about around approximately
almost nearly virtually
very extremely highly
really truly genuinely
maybe perhaps possibly
only merely solely
many numerous countless
several various multiple
enough sufficient adequate
house home dwelling
road street lane
car automobile vehicle
child kid youngster
children kids youngsters
people folks persons
man gentleman fellow
woman lady
friend companion pal
friends companions pals
job task duty
jobs tasks duties
work labor toil
problem issue difficulty
problems issues difficulties
idea notion concept
ideas notions concepts
story tale narrative
stories tales narratives
book volume tome
books volumes tomes
place spot location
places spots locations
way manner method
ways manners methods
part portion section
parts portions sections
result outcome consequence
results outcomes consequences
reason cause motive
reasons causes motives
example instance illustration
examples instances illustrations
area region zone
areas regions zones
error mistake fault
errors mistakes faults
value worth
aim goal objective
aims goals objectives
"""
